"""Near copies: what is one, and what is not."""

import cv2
import numpy as np
import pytest

from ppcls.data.inspection.similarity import fingerprint, near_duplicate_groups
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


def test_a_group_has_the_copies_of_its_first_image_and_no_chain():
    dark = scene(3)
    chain = [np.clip(dark.astype(int) + step, 0, 255).astype(np.uint8) for step in (0, 7, 14, 21)]
    assert near_duplicate_groups([fingerprint(picture) for picture in chain]) == [[0, 1], [2, 3]]


@pytest.fixture(scope="module")
def digit_pictures():
    """Return scikit-learn's 1,797 digits, enlarged as for the quick start."""
    from sklearn.datasets import load_digits

    images = (load_digits().images * 255 / 16).astype(np.uint8)
    return [cv2.cvtColor(cv2.resize(image, (32, 32), interpolation=2), cv2.COLOR_GRAY2RGB) for image in images]
