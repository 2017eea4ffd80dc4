"""PaddleClas's multi-label metrics against their definitions."""

import numpy as np
import pytest

from ppcls.errors import ConfigError
from ppcls.metric import build_metrics
from tests.metric.batching import measure, measure_in_every_way, multi


def predict(logits, threshold=0.5):
    return (1 / (1 + np.exp(-logits))).astype("float32") > np.float32(threshold)


@pytest.mark.parametrize("threshold", [None, 0.3, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]])
def test_hamming_distance_and_accuracy(threshold):
    logits, targets = multi()
    arguments = {} if threshold is None else {"threshold": threshold}
    predicted, true = predict(logits, 0.5 if threshold is None else threshold), targets == 1
    result, _ = measure_in_every_way({"HammingDistance": arguments}, logits, targets)
    assert result == {"HammingDistance": pytest.approx((predicted != true).mean())}
    label, _ = measure_in_every_way({"AccuracyScore": arguments}, logits, targets)
    assert label == {"AccuracyScore": pytest.approx((predicted == true).mean())}
    sample, _ = measure_in_every_way({"AccuracyScore": {"base": "sample", **arguments}}, logits, targets)
    assert sample == {"AccuracyScore": pytest.approx((predicted == true).all(1).mean())}

    sklearn = pytest.importorskip("sklearn.metrics")
    assert result["HammingDistance"] == pytest.approx(sklearn.hamming_loss(targets, predicted))
    assert sample["AccuracyScore"] == pytest.approx(sklearn.accuracy_score(targets, predicted))


def test_mean_accuracy_over_thresholds():
    logits, targets = multi()
    arguments = {"start_threshold": 0.2, "num_iterations": 6, "end_threshold": 0.8}
    result, details = measure_in_every_way({"MultilabelMeanAccuracy": arguments}, logits, targets)
    shares = [((predict(logits, 0.2 + i * 0.1)) == (targets == 1)).mean() for i in range(6)]
    assert result == {"MultilabelMeanAccuracy": pytest.approx(max(shares))}
    assert details == {"threshold": pytest.approx(0.2 + 0.1 * int(np.argmax(shares)))}
    flat = np.full((2, 3), 9.0)  # all thresholds are equally good
    assert measure({"MultilabelMeanAccuracy": None}, flat, np.ones((2, 3), np.float32)) == (
        {"MultilabelMeanAccuracy": 1.0},
        {"threshold": pytest.approx(0.85)},
    )


def attributes(predicted, true):
    """The definitions of Rethinking_of_PAR, sample by sample and label by label."""

    def ratio(part, whole):
        return part / whole if whole else 0.0

    labels, samples = range(true.shape[1]), range(len(true))
    both, either = predicted & true, predicted | true
    recall = [ratio(both[:, k].sum(), true[:, k].sum()) for k in labels]
    negative = [ratio((~either)[:, k].sum(), (~true)[:, k].sum()) for k in labels]
    precision = [ratio(both[:, k].sum(), predicted[:, k].sum()) for k in labels]
    f1 = [ratio(2 * p * r, p + r) for p, r in zip(precision, recall)]
    accuracy, instance_precision, instance_recall = (
        np.mean([ratio(both[i].sum(), whole[i].sum()) for i in samples]) for whole in (either, predicted, true)
    )
    return {
        "ma": (np.mean(recall) + np.mean(negative)) / 2,
        "label_f1": np.mean(f1),
        "label_pos_recall": np.mean(recall),
        "label_neg_recall": np.mean(negative),
        "instance_f1": ratio(2 * instance_precision * instance_recall, instance_precision + instance_recall),
        "instance_acc": accuracy,
        "instance_prec": instance_precision,
        "instance_recall": instance_recall,
    }


@pytest.mark.parametrize("threshold", [0.5, 0.2])
def test_attributes(threshold):
    logits, targets = multi()
    targets[:5] = 0  # samples without a label
    logits[2:9] = -9.0  # and without a predicted one
    result, details = measure_in_every_way({"ATTRMetric": {"threshold": threshold}}, logits, targets)
    expected = attributes(predict(logits, threshold), targets == 1)
    assert list(result) == list(expected)
    assert result == pytest.approx(expected)
    assert details == {}
    assert build_metrics([{"ATTRMetric": None}]).names == list(expected)


def test_nothing_is_there_nor_predicted():
    result, _ = measure({"ATTRMetric": None}, np.full((3, 2), -5.0), np.zeros((3, 2), np.float32))
    assert result["label_neg_recall"] == 1.0
    assert result["ma"] == 0.5
    assert result["instance_f1"] == result["instance_acc"] == 0.0


def test_nan_is_wrong():
    logits, targets = np.full((2, 2), np.nan), np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    assert measure({"HammingDistance": {}}, logits, targets)[0] == {"HammingDistance": 1.0}
    assert measure({"AccuracyScore": {}}, logits, targets)[0] == {"AccuracyScore": 0.0}
    assert measure({"MultilabelMeanAccuracy": {}}, logits, targets)[0] == {"MultilabelMeanAccuracy": 0.0}
    assert measure({"ATTRMetric": {}}, logits, targets)[0]["ma"] == 0.0


@pytest.mark.parametrize(
    ("component", "message"),
    [
        ({"AccuracyScore": {"base": "class"}}, "base: must be one of 'label', 'sample'"),
        ({"HammingDistance": {"threshold": -0.1}}, "threshold: must be"),
        ({"ATTRMetric": {"threshold": [0.5, 2]}}, "threshold: must be"),
        ({"MultilabelMeanAccuracy": {"num_iterations": 0}}, "num_iterations: must be"),
        ({"MultilabelMeanAccuracy": {"start_threshold": 0.95}}, "end_threshold: must be at least start_threshold"),
    ],
)
def test_wrong_arguments(component, message):
    with pytest.raises(ConfigError, match=message):
        build_metrics([component])


@pytest.mark.parametrize("name", ["HammingDistance", "AccuracyScore", "MultilabelMeanAccuracy", "ATTRMetric"])
def test_single_labels_are_refused(name):
    with pytest.raises(ConfigError, match=r"^is for multi-label data"):
        build_metrics([{name: None}]).update(np.zeros((2, 3)), np.array([0, 1]))
    assert build_metrics([{"HammingDistance": {}}, {"AccuracyScore": {}}]).lower_is_better == ["HammingDistance"]
