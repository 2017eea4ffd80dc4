"""Data whose classes are numbered otherwise than the model's."""

import numpy as np
import pytest

from ppcls.data.datasets import Classes, Dataset, align_classes, count_classes
from ppcls.errors import DataError

DIFFER = "class numbers differ from those of the model; classes are matched by name"


class Labelled(Dataset):
    """Labels without images."""

    from_list = True

    def __init__(self, labels, names=None, list_labels=None):
        super().__init__(np.array(labels), names, "error")
        self.list_labels = list_labels

    def read(self, index):
        raise NotImplementedError

    def describe(self, index):
        return f"#{index}"


def test_classes_are_matched_by_name_whatever_their_numbers():
    rng = np.random.default_rng(0)
    for _ in range(50):
        names = [f"class-{number}" for number in rng.permutation(100)[: rng.integers(1, 20)]]
        own = [names[index] for index in rng.permutation(len(names))[: rng.integers(1, len(names) + 1)]]
        labels = rng.integers(0, len(own), 30)
        data = Labelled(labels, own)
        aligned, notes = align_classes(data, Classes(names), "the model")
        assert [aligned.class_names[label] for label in aligned.labels] == [own[label] for label in labels]
        assert aligned.class_names == names
        absent = set(names) - {own[label] for label in labels}
        assert any(text.startswith("no images for") for text in notes) == bool(absent)
        assert data.labels.tolist() == labels.tolist()
        assert data.class_names == own


@pytest.mark.parametrize(
    ("own", "names", "expected"),
    [
        (["a", "b", "c"], ["a", "b", "c"], []),
        (["a", "b"], ["a", "b", "c"], ["no images for 1 of the 3 classes of the model: c"]),
        (
            ["b", "c"],
            ["a", "b", "c"],
            ["no images for 1 of the 3 classes of the model: a; the others are matched by name"],
        ),
        (["b", "a"], ["a", "b"], [DIFFER]),
        (["b", "a"], ["a", "b", "c"], [DIFFER, "no images for 1 of the 3 classes of the model: c"]),
        # Both forms of one name are two classes where the model has both.
        (["e\u0301", "\u00e9"], ["\u00e9", "e\u0301"], [DIFFER]),
    ],
)
def test_only_what_differs_is_said(own, names, expected):
    assert align_classes(Labelled(range(len(own)), own), Classes(names), "the model")[1] == expected


def test_an_unknown_class_is_an_error_with_both_lists():
    with pytest.raises(DataError) as caught:
        align_classes(Labelled([0, 1], ["Dog", "cat"]), Classes(["cat", "dog", "fox"]), "the model")
    assert str(caught.value).splitlines() == [
        "'Dog' (is it 'dog'?) is not a class of the model; rename or remove it",
        "  the model (3): cat, dog, fox",
        "  these data (2): Dog, cat",
    ]
    # A name without images, as in a labels.txt of more classes, does no harm.
    aligned, _ = align_classes(Labelled([1, 1], ["Dog", "cat"]), Classes(["cat", "dog"]), "the model")
    assert aligned.labels.tolist() == [0, 0]


def test_one_name_in_two_unicode_forms_is_one_class():
    aligned, _ = align_classes(Labelled([0, 1], ["rose\u0301", "daisy"]), Classes(["daisy", "ros\u00e9"]), "the model")
    assert aligned.labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("labels", "own", "names", "message"),
    [
        ([0, 1], ["crane", "ox"], ["crane", "crane", "ox"], "two classes are called 'crane'"),
        ([0, 1], ["ox", "ox"], ["ox", "cow"], "two classes are called 'ox'"),
        ([0, 1, 2], ["\u00e9", "e\u0301", "b"], ["b", "\u00e9"], "two classes are called 'e\u0301'"),
        ([0, 2], ["ox", "cow"], ["cow", "ox"], "#1: label 2, and there are names of 2 classes, 0 to 1: ox, cow"),
        ([0, -1], ["ox", "cow"], ["cow", "ox"], "#1: label -1"),
    ],
)
def test_names_that_do_not_identify_classes(labels, own, names, message):
    with pytest.raises(DataError, match=message):
        align_classes(Labelled(labels, own), Classes(names), "the model")


def test_equal_names_need_not_differ_from_each_other():
    aligned, notes = align_classes(Labelled([0, 1], ["crane", "crane"]), Classes(["crane", "crane"]), "the model")
    assert (aligned.labels.tolist(), notes) == ([0, 1], [])


@pytest.mark.parametrize(
    ("own", "labels", "model", "expected"),
    [
        ([1, 3, 4], [0, 1, 2], [1, 2, 3, 4], [0, 2, 3]),  # both relabelled
        (None, [1, 3, 4], [1, 2, 3, 4], [0, 2, 3]),  # training alone
        ([1, 3], [0, 1, 1], None, [1, 3, 3]),  # evaluation alone
        (None, [1, 3], None, [1, 3]),
    ],
)
def test_labels_of_lists_are_matched_by_value(own, labels, model, expected):
    aligned, _ = align_classes(Labelled(labels, list_labels=own), Classes(labels=model), "the model")
    assert aligned.labels.tolist() == expected


def test_a_label_that_training_does_not_know():
    with pytest.raises(DataError, match=r"the label 5 of the list is not among(.|\n)*\(3\): 1, 2, 4(.|\n)*\(2\): 1, 5"):
        align_classes(Labelled([0, 1], list_labels=[1, 5]), Classes(labels=[1, 2, 4]), "the model")


def test_columns_of_several_labels_are_matched_by_name():
    labels = np.array([[1, 0], [0, 1], [1, 1]], np.float32)
    data = Labelled(labels, ["night", "rain"])
    data.label_ratio = labels.mean(axis=0)
    aligned, notes = align_classes(data, Classes(["rain", "snow", "night"]), "the model")
    assert aligned.labels.tolist() == [[0, 0, 1], [1, 0, 0], [1, 0, 1]]
    assert aligned.label_ratio.tolist() == pytest.approx([2 / 3, 0, 2 / 3])
    expected = "these data have no column for 1 of 3 classes of the model, which counts as absent: snow"
    assert notes == [DIFFER, expected]
    with pytest.raises(DataError, match="'rain' is not a class of the model"):
        align_classes(data, Classes(["snow", "night"]), "the model")


def test_how_many_classes_data_have():
    assert count_classes(Labelled([0, 1], ["a", "b", "c"])) == (3, "the names of its classes")
    assert count_classes(Labelled([0, 4])) == (5, "its highest label")
    assert count_classes(Labelled([0, 1], list_labels=[3, 9])) == (2, "its different labels")
    assert count_classes(Labelled(np.zeros((2, 4), np.float32))) == (4, "the columns of its labels")
