"""Average precision and the ROC curve, against their definitions and scikit-learn."""

import math

import numpy as np
import pytest

from ppcls.errors import CheckpointError, ConfigError
from ppcls.metric import METRICS, build_metrics
from ppcls.metric.ranking import average_precision
from tests.metric.batching import measure, measure_in_every_way, multi, single


def softmax(logits):
    exp = np.exp(logits - logits.max(1, keepdims=True))
    return exp / exp.sum(1, keepdims=True)


def curve(scores, positive):
    """Return (recall, precision) at each threshold, falling."""
    points = []
    for threshold in sorted(set(scores.tolist()), reverse=True):
        predicted = scores >= threshold
        points.append(((predicted & positive).sum() / positive.sum(), (predicted & positive).sum() / predicted.sum()))
    return points


def integral(scores, positive):
    recalls, total = 0.0, 0.0
    for recall, precision in curve(scores, positive):
        total += (recall - recalls) * precision
        recalls = recall
    return total


def eleven_points(scores, positive):
    points = curve(scores, positive)
    return np.mean([max(p for r, p in points if r >= tenth / 10 - 1e-12) for tenth in range(11)])


@pytest.mark.parametrize("decimals", [0, 1, 8])  # rounded logits are full of ties
def test_several_labels(decimals):
    logits, targets = multi(decimals=decimals)
    scores = 1 / (1 + np.exp(-logits))
    for arguments, function in (({}, integral), ({"map_type": "11point"}, eleven_points)):
        component = {"MultiLabelMAP": {**arguments, "per_class": True}}
        result, details = measure_in_every_way(component, logits, targets)
        expected = [function(logits[:, k], targets[:, k] == 1) for k in range(6)]  # the last class has no sample
        assert result == {"MultiLabelMAP": pytest.approx(np.mean(expected))}
        values = [record["average_precision"] for record in details["per_class"]]
        assert values == [*map(pytest.approx, expected), None]
        assert details["per_class"][6]["support"] == 0
    result, details = measure_in_every_way({"MeanAveragePrecision": {}}, logits, targets)
    sklearn = pytest.importorskip("sklearn.metrics")
    assert result["mAP"] == pytest.approx(sklearn.average_precision_score(targets[:, :6], scores[:, :6]))
    assert details == {}


def test_single_labels_each_class_against_the_rest():
    logits, labels = single()
    scores = softmax(logits)
    component = {"MeanAveragePrecision": {"per_class": True}}
    result, details = measure_in_every_way(component, logits, labels)
    values = [record["average_precision"] for record in details["per_class"]]
    assert values[:6] == pytest.approx([integral(scores[:, k].astype("float32"), labels == k) for k in range(6)], 1e-3)
    assert result == {"mAP": pytest.approx(np.mean(values[:6]))}
    assert values[6] is None

    # The same scores, so that the same ones are equal.
    metric = build_metrics([component])
    metric.update(logits, labels)
    kept = metric.metrics["MeanAveragePrecision"]._fetch()["scores"]
    np.testing.assert_allclose(kept, scores, rtol=1e-5)
    sklearn = pytest.importorskip("sklearn.metrics")
    assert values[:6] == pytest.approx([sklearn.average_precision_score(labels == k, kept[:, k]) for k in range(6)])


def test_small_cases_of_average_precision():
    def ap(scores, positive, kind="integral"):
        return average_precision(np.array(scores), np.array(positive, bool), kind)

    assert ap([0.9, 0.8, 0.7], [1, 0, 1]) == pytest.approx((1 + 2 / 3) / 2)
    assert ap([0.9, 0.8, 0.7], [1, 0, 1], "11point") == pytest.approx((6 * 1 + 5 * 2 / 3) / 11)
    assert ap([0.5] * 4, [1, 0, 0, 0]) == ap([0.5] * 4, [0, 0, 0, 1]) == 0.25  # all equal: the share of positives
    assert math.isnan(ap([0.5], [0]))
    assert math.isnan(ap([0.5, np.nan], [1, 0]))


def test_no_positive_sample_and_nan():
    logits, targets = multi()
    assert math.isnan(measure({"MultiLabelMAP": {}}, logits, np.zeros_like(targets))[0]["MultiLabelMAP"])
    logits[3, 2] = np.nan
    result, details = measure({"MultiLabelMAP": {"per_class": True}}, logits, targets)
    assert math.isnan(result["MultiLabelMAP"])
    assert details["per_class"][2]["average_precision"] is None
    assert details["per_class"][1]["average_precision"] > 0.3


def roc(scores, positive, max_fpr):
    """Return the highest rate of true positives at any threshold, tried one by one."""
    best = 0.0
    for threshold in [*sorted(set(scores.tolist())), -1.0]:
        predicted = scores > threshold
        if (predicted & ~positive).sum() / (~positive).sum() <= max_fpr:
            best = max(best, (predicted & positive).sum() / positive.sum())
    return best


@pytest.mark.parametrize("max_fpr", [0.0, 0.001, 0.01, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("decimals", [0, 8])
def test_true_positives_at_a_rate_of_false_positives(max_fpr, decimals):
    rng = np.random.default_rng(0)
    labels = (rng.random(300) < 0.4).astype("int64")
    logits = rng.normal(size=(300, 2)).astype("float32")
    logits[:, 1] += 2 * labels
    logits = logits.round(decimals)
    margin, positive = logits[:, 1] - logits[:, 0], labels == 1  # ranks as softmax does
    result, details = measure_in_every_way({"TprAtFpr": {"max_fpr": max_fpr}}, logits, labels)
    assert result == {"tpr_at_fpr": pytest.approx(roc(margin, positive, max_fpr))}
    predicted = softmax(logits)[:, 1] > details["threshold"]
    assert (predicted & positive).sum() / positive.sum() == pytest.approx(result["tpr_at_fpr"])
    assert (predicted & ~positive).sum() / (~positive).sum() == pytest.approx(details["fpr"])
    assert details["fpr"] <= max_fpr
    assert (details["positives"], details["negatives"]) == (positive.sum(), (~positive).sum())
    sklearn = pytest.importorskip("sklearn.metrics")
    fpr, tpr, _ = sklearn.roc_curve(labels, margin, drop_intermediate=False)
    assert result["tpr_at_fpr"] == pytest.approx(tpr[fpr <= max_fpr].max())


def test_no_threshold_is_good_enough_or_there_are_no_rates():
    logits = np.array([[0.0, 5.0], [0.0, 1.0]])
    result, details = measure({"TprAtFpr": None}, logits, np.array([0, 1]))
    assert (result, details["threshold"], details["fpr"]) == ({"tpr_at_fpr": 0.0}, 1.0, 0.0)
    for labels in (np.array([0, 0]), np.array([1, 1])):
        result, details = measure({"TprAtFpr": None}, logits, labels)
        assert math.isnan(result["tpr_at_fpr"])
        assert set(details) == {"positives", "negatives"}
    result, _ = measure({"TprAtFpr": None}, np.array([[0.0, np.nan], [0.0, 1.0]]), np.array([0, 1]))
    assert math.isnan(result["tpr_at_fpr"])
    assert math.isnan(build_metrics([{"TprAtFpr": None}]).result()["tpr_at_fpr"])


@pytest.mark.parametrize(
    ("component", "message"),
    [
        ({"MultiLabelMAP": {"map_type": "12point"}}, "map_type: must be one of 'integral', '11point'"),
        ({"TprAtFpr": {"max_fpr": 1.5}}, "max_fpr: must be a number from 0 to 1"),
        ({"MeanAveragePrecision": {"per_class": "all"}}, "per_class"),
    ],
)
def test_wrong_arguments(component, message):
    with pytest.raises(ConfigError, match=message):
        build_metrics([component])


def test_wrong_classes_labels_and_states():
    with pytest.raises(ConfigError, match=r"is for 2 classes, .* not for 10"):
        METRICS.build("TprAtFpr", {}).check(10)
    with pytest.raises(ConfigError, match="is for multi-label data, and these have one label"):
        METRICS.build("MultiLabelMAP", {}).check_labels(multi_label=False)
    metric = build_metrics([{"MultiLabelMAP": {}}])
    with pytest.raises(CheckpointError, match=r"MultiLabelMAP: the saved arrays are \['scores'\]"):
        metric.load_state({"MultiLabelMAP": {"scores": {}}})
    broken = {"dtype": "float32", "shape": [2, 2], "base64": "AAAA"}
    with pytest.raises(CheckpointError, match="damaged"):
        metric.load_state({"MultiLabelMAP": {"scores": broken, "targets": broken}})
