"""Near copies: what is one, and what is not."""

import time

import cv2
import numpy as np
import pytest

from ppcls.data.inspection.scanning import Finding
from ppcls.data.inspection.similarity import fingerprint, near_duplicate_groups
from ppcls.data.inspection.splitting import split_samples
from tests.helpers.images import scene


def test_near_copies_and_nothing_else():
    pictures = [scene(number) for number in range(30)]
    prints = [fingerprint(picture) for picture in pictures]
    assert near_duplicate_groups(prints) == []
    edited = [
        cv2.imdecode(cv2.imencode(".jpg", pictures[0], [1, 60])[1], 1),
        cv2.resize(pictures[0], (40, 40), interpolation=cv2.INTER_AREA),
        np.clip(pictures[0].astype(int) + 4, 0, 255).astype(np.uint8),
    ]
    prints += [fingerprint(picture) for picture in edited] + [None]
    assert near_duplicate_groups(prints) == [[0, 30, 31, 32]]
    blurred = [cv2.resize(small, (64, 64)) for small in (pictures[1][::16, ::16], pictures[1][::16, ::16].copy())]
    cv2.circle(blurred[1], (40, 40), 12, (255, 255, 255), -1)
    assert near_duplicate_groups([fingerprint(picture) for picture in blurred]) == []
    flat = [fingerprint(np.full((20, 20, 3), value, np.uint8)) for value in (0, 5, 100, 200)]
    assert near_duplicate_groups(flat) == [[0, 1]]


@pytest.mark.parametrize("name", ["jpeg 40", "jpeg 95", "half", "brighter"])
def test_copies_of_photos_and_digits_are_found(name, digit_pictures):
    def edited(image):
        if name.startswith("jpeg"):
            return cv2.imdecode(cv2.imencode(".jpg", image, [1, int(name.split()[1])])[1], 1)
        if name == "half":
            return cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        return cv2.convertScaleAbs(image, alpha=1.04)

    def groups(originals):
        prints = [fingerprint(picture) for picture in originals]
        found = near_duplicate_groups(prints + [fingerprint(edited(picture)) for picture in originals])
        assert all(second == first + len(originals) for first, second in found)
        return len(found)

    assert groups([scene(number, 160) for number in range(40)]) == 40
    assert groups(digit_pictures[::60]) >= 27  # of 30: the hashes of such plain pictures change easily


def test_different_digits_are_no_copies(digit_pictures):
    prints = [fingerprint(picture) for picture in digit_pictures]
    assert len({print_.bits for print_ in prints}) < len(prints) - 100  # by their hashes alone many are
    assert near_duplicate_groups(prints) == []


def test_copies_of_copies_are_in_one_group():
    """Each picture is a copy of the one before; the first and the last are none, and a pair elsewhere is its own."""
    dark = scene(3)
    chain = [np.clip(dark.astype(int) + step, 0, 255).astype(np.uint8) for step in (0, 7, 14, 21)]
    assert near_duplicate_groups([fingerprint(chain[0]), fingerprint(chain[3])]) == []
    others = [scene(number) for number in (5, 6, 6)]
    pictures = [chain[2], others[0], chain[0], others[1], chain[3], others[2], chain[1]]
    assert near_duplicate_groups([fingerprint(picture) for picture in pictures]) == [[0, 2, 4, 6], [3, 5]]


def test_a_split_does_not_separate_copies_of_copies():
    findings = []
    for number in range(30):
        base = scene(number).astype(int)
        for step in (0, 7, 14):
            item = fingerprint(np.clip(base + step, 0, 255).astype(np.uint8))
            findings.append(Finding(size=(64, 64), mode=None, digest=f"{number} {step}", fingerprint=item))
    split = split_samples(np.zeros(90, int), findings, 0.3, seed=0)
    assert len(split.near_duplicates) == 30
    assert len(split.val) == 27
    assert not {index // 3 for index in split.train} & {index // 3 for index in split.val}


def test_many_equal_and_many_similar_pictures_take_no_time():
    flat = [fingerprint(np.full((20, 20, 3), 100 + number % 2, np.uint8)) for number in range(5000)]
    began = time.perf_counter()
    assert [len(group) for group in near_duplicate_groups(flat)] == [5000]
    assert time.perf_counter() - began < 5


@pytest.fixture(scope="module")
def digit_pictures():
    """Return scikit-learn's 1,797 digits, enlarged as for the quick start."""
    from sklearn.datasets import load_digits

    images = (load_digits().images * 255 / 16).astype(np.uint8)
    return [cv2.cvtColor(cv2.resize(image, (32, 32), interpolation=2), cv2.COLOR_GRAY2RGB) for image in images]
