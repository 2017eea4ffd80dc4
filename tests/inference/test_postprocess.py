"""From probabilities to answers."""

import numpy as np
import pytest

from ppcls.errors import ConfigError
from ppcls.inference.postprocess import POSTPROCESSES, SIGMOID, SOFTMAX, probabilities

SCORES = np.array([0.5, 0.2, 0.9, 0.3], np.float32)
NAMES = ["a", "b", "c", "d"]


def build(name, class_num=4, class_names=None, **arguments):
    return POSTPROCESSES.build(name, arguments, class_num=class_num, class_names=class_names)


def test_the_sigmoid_is_exact_and_never_overflows():
    logits = np.array([[-1000.0, -1.0, 0.0, 1.0, 1000.0]])
    found = probabilities(logits, SIGMOID)
    np.testing.assert_allclose(found[0, 1:4], 1 / (1 + np.exp([1.0, 0.0, -1.0])))
    assert found[0, [0, 4]].tolist() == [0, 1]
    assert probabilities(logits, SOFTMAX).sum() == 1


@pytest.mark.parametrize(
    "threshold, class_ids",
    [
        (0.5, [2, 0]),
        (0.51, [2]),
        (0.0, [2, 0, 3, 1]),
        (1, []),
        ([0.6, 0.2, 0.9, 0.3], [2, 3, 1]),
        ({"d": 0.1, "c": 0.95}, [0, 3]),
    ],
)
def test_all_classes_above_their_thresholds_the_highest_first(threshold, class_ids):
    answer = build("MultiLabelThreshOutput", class_names=NAMES, threshold=threshold)(SCORES)
    assert answer["class_ids"] == class_ids
    assert answer["scores"] == [round(float(SCORES[i]), 5) for i in class_ids]
    assert answer["label_names"] == [NAMES[i] for i in class_ids]


def test_without_names_there_are_ids():
    assert build("MultiLabelThreshOutput")(SCORES) == {"class_ids": [2, 0], "scores": [0.9, 0.5], "label_names": []}


@pytest.mark.parametrize(
    "score, threshold, class_id", [(0.9, 0.9, 1), (0.89, 0.9, 0), (0.5, 0.5, 1), (0.2, 0.1, 1), (0.0, 0.5, 0)]
)
def test_one_of_two_classes_by_a_threshold(score, threshold, class_id):
    post = build("ThreshOutput", 2, threshold=threshold, label_0="nobody", label_1="someone")
    scores = np.array([1 - score, score], np.float32)
    expected = {"class_ids": [class_id], "scores": [round(float(scores[class_id]), 5)]}
    assert post(scores) == {**expected, "label_names": [["nobody", "someone"][class_id]]}
    assert post.activation == SOFTMAX and not post.is_multilabel


def test_two_classes_have_the_names_of_the_data_unless_the_recipe_has_others():
    assert build("ThreshOutput", 2).class_names is None
    assert build("ThreshOutput", 2, ["no", "yes"]).class_names == ["no", "yes"]
    assert build("ThreshOutput", 2, ["no", "yes"], label_1="some").class_names == ["no", "some"]


def person(**chosen):
    """Return probabilities of PersonAttribute, 0.1 unless they are given."""
    names = POSTPROCESSES["PersonAttribute"].target.names
    return np.array([chosen.get(name.replace("-", "_"), 0.1) for name in names], np.float32)


def test_a_person_in_words():
    post = build("PersonAttribute", 26)
    scores = person(Female=0.6, Age18_60=0.4, Side=0.8, Glasses=0.35, HoldObjectsInFront=0.55, Backpack=0.7, Shorts=0.3)
    answer = post(scores)
    assert answer["label_names"] == ["Side", "Backpack", "Female", "Glasses"]
    assert answer["attributes"] == [
        "Female",
        "Age18-60",
        "Side",
        "Glasses: True",
        "Hat: False",
        "HoldObjectsInFront: False",
        "Backpack",
        "Upper: ShortSleeve",
        "Lower: Shorts",
        "No boots",
    ]
    more = post(person(LongSleeve=0.2, UpperLogo=0.9, UpperPlaid=0.6, LongCoat=0.7, Trousers=0.8, Boots=0.9, Hat=0.6))
    assert more["attributes"][0] == "Male"
    assert more["attributes"][4:] == [
        "Hat: True",
        "HoldObjectsInFront: False",
        "No bag",
        "Upper: LongSleeve UpperLogo UpperPlaid",
        "Lower: LongCoat Trousers",
        "Boots",
    ]


def test_a_vehicle_in_words():
    scores = np.full(19, 0.1, np.float32)
    scores[[4, 11]] = 0.75, 0.4
    answer = build("VehicleAttribute", 19)(scores)
    assert answer["attributes"] == ["Color: (red, prob: 0.75000)", "Type unknown"]
    assert answer["label_names"] == ["red"]
    lower = build("VehicleAttribute", 19, type_threshold=0.3)(scores)
    assert lower["attributes"][1] == "Type: (suv, prob: 0.40000)"


def test_a_table_in_words():
    scores = np.array([0.6, 0.4, 0.6, 0.4, 0.6, 0.4], np.float32)
    post = build("TableAttribute", 6, angle_threshold=0.3)
    assert post(scores)["attributes"] == [
        "Scanned",
        "Numerous",
        "Black-and-White",
        "Blurry",
        "Without-Obstacles",
        "Horizontal",
    ]


@pytest.mark.parametrize(
    "name, class_num, arguments, problem",
    [
        ("MultiLabelThreshOutput", 4, {"threshold": 1.5}, "threshold: must be a number from 0 to 1, not 1.5"),
        ("MultiLabelThreshOutput", 4, {"threshold": [0.5, 0.5]}, "threshold: 2 numbers for 4 classes"),
        ("MultiLabelThreshOutput", 4, {"threshold": [0.5, 2, 0, 0]}, "threshold: 1: must be a number from 0 to 1"),
        ("MultiLabelThreshOutput", 4, {"threshold": {"a": -1}}, "threshold: a: must be a number from 0 to 1"),
        ("MultiLabelThreshOutput", 4, {"threshold": {"a": 0.5}}, "names classes, and the model has no class names"),
        ("MultiLabelThreshOutput", 4, {"threshold": "x"}, "threshold: must be a number or a list or a mapping"),
        ("MultiLabelThreshOutput", 4, {"thresholds": 0.5}, "unknown argument 'thresholds'; did you mean 'threshold'"),
        ("ThreshOutput", 3, {}, "ThreshOutput: is for 2 classes, and the model has 3"),
        ("ThreshOutput", 2, {"threshold": -0.5}, "threshold: must be a number from 0 to 1"),
        ("PersonAttribute", 25, {}, "PersonAttribute: is for 26 classes, and the model has 25"),
        ("PersonAttribute", 26, {"glasses_threshold": 3}, "glasses_threshold: must be a number from 0 to 1"),
        ("VehicleAttribute", 10, {}, "VehicleAttribute: is for 19 classes"),
        ("TableAttribute", 6, {"angle_threshold": 2}, "angle_threshold: must be a number from 0 to 1"),
        ("MultiLabelThreshOutputs", 4, {}, "did you mean 'MultiLabelThreshOutput'"),
        ("Topk", 4, {"topk": 0}, "topk: must be a whole number of at least 1"),
    ],
)
def test_wrong_values(name, class_num, arguments, problem):
    with pytest.raises(ConfigError, match=problem):
        build(name, class_num, **arguments)


def test_unknown_classes_are_named():
    with pytest.raises(ConfigError, match="threshold: e: unknown class; did you mean 'ea'"):
        build("MultiLabelThreshOutput", 2, ["ea", "b"], threshold={"e": 0.5})


def test_the_attributes_of_a_recipe_are_those_of_the_data():
    names = list(POSTPROCESSES["TableAttribute"].target.names)
    assert build("TableAttribute", 6, names).class_names == names
    with pytest.raises(ConfigError, match="data have 'Photo' where it expects 'Scanned': use MultiLabelThreshOutput"):
        build("TableAttribute", 6, ["Photo", *names[1:]])


def test_topk_is_for_classes_by_rank():
    assert build("Topk", topk=1).with_topk(3)(SCORES)["class_ids"] == [2, 0, 3]
    for name, class_num in (("MultiLabelThreshOutput", 4), ("ThreshOutput", 2), ("TableAttribute", 6)):
        post = build(name, class_num)
        assert post.topk is None
        with pytest.raises(ConfigError, match=f"topk: how many classes are in an answer of {name} depends on thresh"):
            post.with_topk(3)
