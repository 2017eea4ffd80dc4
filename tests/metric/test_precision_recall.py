"""Precision, recall, F1, balanced accuracy and the confusion matrix, against their definitions and scikit-learn."""

import math

import numpy as np
import pytest

from ppcls.errors import CheckpointError, ConfigError
from ppcls.metric import METRICS, build_metrics
from tests.metric.batching import measure, measure_in_every_way, multi, single

AVERAGES = ["macro", "micro", "weighted", "none"]
KEYS = {"Precision": "precision", "Recall": "recall", "F1": "f1"}


def by_definition(name, predicted, true):
    """Return the values by average. predicted, true: [N, K] bool."""

    def value(p, t):
        precision = (p & t).sum() / p.sum() if p.any() else 0.0
        recall = (p & t).sum() / t.sum() if t.any() else 0.0
        f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        return {"Precision": precision, "Recall": recall, "F1": f1}[name]

    occurring = [k for k in range(true.shape[1]) if predicted[:, k].any() or true[:, k].any()]
    each = {k: value(predicted[:, k], true[:, k]) for k in occurring}
    return {
        "macro": np.mean(list(each.values())),
        "micro": value(predicted.ravel(), true.ravel()),
        "weighted": np.average(list(each.values()), weights=[true[:, k].sum() for k in occurring]),
        "none": [each.get(k) for k in range(true.shape[1])],
    }


def check(name, component, logits, targets, predicted, true):
    result, details = measure_in_every_way(component, logits, targets)
    expected = by_definition(name, predicted, true)
    key = KEYS[name]
    assert result == {f"{key}_{average}": pytest.approx(expected[average]) for average in AVERAGES[:3]}
    assert [record[key] for record in details["per_class"]] == [
        None if value is None else pytest.approx(value) for value in expected["none"]
    ]
    assert [record["support"] for record in details["per_class"]] == true.sum(0).tolist()
    assert [record["class_id"] for record in details["per_class"]] == list(range(true.shape[1]))
    return result


@pytest.mark.parametrize("name", KEYS)
def test_single_labels(name):
    logits, labels = single()
    eye = np.eye(7, dtype=bool)
    classes = logits.argmax(1)  # the first of equals
    assert (np.sort(logits, axis=1)[:, -1] == np.sort(logits, axis=1)[:, -2]).any()
    assert not (labels == 6).any()
    result = check(name, {name: {"average": AVERAGES}}, logits, labels, eye[classes], eye[labels])

    metrics = pytest.importorskip("sklearn.metrics")
    function = getattr(metrics, f"{KEYS[name]}_score")
    for average in AVERAGES[:3]:
        expected = function(labels, classes, average=average, zero_division=0)
        assert result[f"{KEYS[name]}_{average}"] == pytest.approx(expected), average


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("threshold", [None, 0.3, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]])
def test_several_labels(name, threshold):
    logits, targets = multi()
    logits[:, 5] = -9.0  # never predicted
    logits[:, 6] = -9.0  # nor has a sample this one
    bound = np.float32(0.5 if threshold is None else threshold)
    predicted = (1 / (1 + np.exp(-logits))).astype("float32") > bound
    component = {name: {"average": AVERAGES, **({} if threshold is None else {"threshold": threshold})}}
    result = check(name, component, logits, targets, predicted, targets == 1)

    metrics = pytest.importorskip("sklearn.metrics")
    function = getattr(metrics, f"{KEYS[name]}_score")
    for average in AVERAGES[:3]:  # scikit-learn's macro average is over the labels that it is told
        expected = function(targets, predicted, average=average, labels=range(6), zero_division=0)
        assert result[f"{KEYS[name]}_{average}"] == pytest.approx(expected), average


def test_balanced_accuracy_and_the_confusion_matrix():
    logits, labels = single()
    result, _ = measure_in_every_way({"BalancedAccuracy": None}, logits, labels)
    classes = logits.argmax(1)
    recalls = [(classes[labels == k] == k).mean() for k in range(6)]
    assert result == {"balanced_accuracy": pytest.approx(np.mean(recalls))}
    result, details = measure_in_every_way({"ConfusionMatrix": {}}, logits, labels)
    matrix = np.zeros((7, 7), int)
    np.add.at(matrix, (labels, classes), 1)
    assert (result, details) == ({}, {"classes": list(range(7)), "matrix": matrix.tolist()})

    metrics = pytest.importorskip("sklearn.metrics")
    assert np.mean(recalls) == pytest.approx(metrics.balanced_accuracy_score(labels, classes))
    assert details["matrix"] == metrics.confusion_matrix(labels, classes, labels=range(7)).tolist()


def test_class_names_are_given_where_they_are_known():
    metrics = build_metrics([{"Recall": {"average": "none"}}, {"ConfusionMatrix": {}}, {"TopkAcc": {"topk": 1}}])
    assert metrics.names == ["top1"]
    metrics.update(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 0]))
    details = metrics.details(["cat", "dog"])
    assert details == {
        "Recall": {
            "per_class": [
                {"class_id": 0, "class_name": "cat", "recall": 0.5, "support": 2},
                {"class_id": 1, "class_name": "dog", "recall": 0.0, "support": 0},
            ]
        },
        "ConfusionMatrix": {"classes": ["cat", "dog"], "matrix": [[1, 1], [0, 0]]},
    }
    assert metrics.details()["Recall"]["per_class"][1] == {"class_id": 1, "recall": 0.0, "support": 0}


def test_nan_is_a_wrong_prediction():
    nan = np.nan
    logits, labels = np.array([[nan, 0.0], [1.0, nan], [1.0, 0.0]]), np.array([0, 1, 0])
    assert measure({"Recall": {"average": "none"}}, logits, labels)[1]["per_class"] == [
        {"class_id": 0, "recall": 0.5, "support": 2},
        {"class_id": 1, "recall": 0.0, "support": 1},
    ]
    assert measure({"Precision": {"average": ["micro"]}}, logits, labels)[0] == {"precision_micro": 1.0}
    assert measure({"BalancedAccuracy": {}}, logits, labels)[0] == {"balanced_accuracy": 0.25}
    details = measure({"ConfusionMatrix": {}}, logits, labels)[1]
    assert details == {"classes": [0, 1], "matrix": [[1, 0], [0, 0]], "no_prediction": [1, 1]}
    # Of several labels each is wrong: one that is there is missed, one that is not is predicted.
    targets = np.array([[1.0, 0.0]])
    for name in ("Precision", "Recall"):
        assert measure({name: {"average": "micro"}}, np.array([[nan, nan]]), targets)[0] == {f"{KEYS[name]}_micro": 0.0}


def test_one_class_and_nothing_at_all():
    logits = np.zeros((3, 1), np.float32)
    assert measure({"F1": {}}, logits, np.zeros(3, np.int64))[0] == {"f1_macro": 1.0}
    nothing = {"F1": {"average": ["macro", "micro", "weighted"]}}
    result = measure(nothing, np.full((3, 4), -5.0), np.zeros((3, 4), np.float32))[0]
    assert len(result) == 3
    assert all(math.isnan(value) for value in result.values())
    metric = build_metrics([{"BalancedAccuracy": {}}, nothing])
    metric.update(np.zeros((0, 4)), np.zeros(0, np.int64))
    assert all(math.isnan(value) for value in metric.result().values())
    predicted_only = measure(nothing, np.full((3, 4), 5.0), np.zeros((3, 4), np.float32))[0]
    assert predicted_only == {"f1_macro": 0.0, "f1_micro": 0.0, "f1_weighted": 0.0}


@pytest.mark.parametrize(
    ("component", "message"),
    [
        ({"Precision": {"average": "samples"}}, "average: must be different ones of macro, micro, weighted, none, not"),
        ({"F1": {"average": []}}, "average: must be different"),
        ({"F1": {"average": ["macro", "macro"]}}, "average: must be different"),
        ({"Recall": {"threshold": 1.0}}, "threshold: must be a number of at least 0 and below 1"),
        ({"Recall": {"threshold": []}}, "threshold: must be a number, or one for each class"),
        ({"Recall": {"treshold": 0.5}}, "did you mean 'threshold'"),
        ({"Recal": {}}, "did you mean 'Recall'"),
    ],
)
def test_wrong_arguments(component, message):
    with pytest.raises(ConfigError, match=message):
        build_metrics([component])


def test_wrong_class_counts_and_labels():
    with pytest.raises(ConfigError, match="threshold: 2 numbers for 3 classes"):
        METRICS.build("Recall", {"threshold": [0.1, 0.2]}).check(3)
    METRICS.build("ConfusionMatrix", {}).check(2048)
    with pytest.raises(ConfigError, match=r"the matrix of 21841 classes would take 3\.8 GB"):
        METRICS.build("ConfusionMatrix", {}).check(21841)
    with pytest.raises(ConfigError, match="threshold: has no meaning for data with one label"):
        METRICS.build("Recall", {"threshold": 0.5}).check_labels(multi_label=False)
    with pytest.raises(ConfigError, match="is for data with one label per image"):
        build_metrics([{"BalancedAccuracy": {}}]).update(np.zeros((2, 3)), np.zeros((2, 3), np.float32))
    with pytest.raises(ConfigError, match="is for data with one label per image"):
        METRICS.build("TopkAcc", {}).check_labels(multi_label=True)


@pytest.mark.parametrize(
    ("logits", "targets", "message"),
    [
        (np.zeros((2, 5)), np.array([0]), r"expected logits \[B, K\]"),
        (np.zeros((2, 5)), np.array([0.0, 1.0]), "float64"),
        (np.zeros((2, 5)), np.zeros((2, 4), np.float32), r"float32.* \[2, 4\]"),
        (np.zeros(5), np.array([0]), r"expected logits \[B, K\]"),
        (np.zeros((2, 5)), np.array([0, 5]), "labels from 0 to 5 for 5 classes"),
        (np.zeros((2, 5)), np.full((2, 5), 0.5, np.float32), "other than 0 and 1"),
        (np.zeros((2, 5)), np.full((2, 5), -1.0, np.float32), "other than 0 and 1"),
    ],
)
def test_wrong_batches(logits, targets, message):
    with pytest.raises(ValueError, match=message):
        build_metrics([{"Precision": {}}]).update(logits, targets)


def test_the_sums_of_another_metric():
    metric = build_metrics([{"Precision": {}}])
    with pytest.raises(CheckpointError, match=r"Precision: the saved sums are \['matrix'\], expected"):
        metric.load_state({"Precision": {"matrix": [[1]]}})
    metric.load_state({"Precision": {"correct": [1, 1], "predicted": [2, 2], "support": [2, 2]}})
    with pytest.raises(CheckpointError, match=r"the saved sum correct is \[2\], expected \[3\]"):
        metric.update(np.zeros((1, 3)), np.array([0]))
