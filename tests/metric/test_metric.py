"""Top-k accuracy against a sort, and its counts."""

import json
import math

import numpy as np
import paddle
import pytest

from ppcls.errors import CheckpointError, ConfigError
from ppcls.metric import CombinedMetric, TopkAcc, build_metrics
from ppcls.metric.base import MetricAdapter, sum_states


def by_sorting(logits, labels, k):
    order = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    return (order == labels[:, None]).any(1).mean()


@pytest.mark.parametrize("decimals", [0, 8])  # rounded logits are full of ties
def test_against_a_stable_sort(decimals):
    rng = np.random.RandomState(0)
    logits, labels = rng.randn(200, 10).round(decimals), rng.randint(0, 10, 200)
    metric = TopkAcc(topk=[1, 3, 10])
    for start in range(0, 200, 33):  # the last batch is smaller: every sample counts once
        metric.update(logits[start : start + 33], labels[start : start + 33])
    assert metric.result() == {f"top{k}": pytest.approx(by_sorting(logits, labels, k)) for k in (1, 3, 10)}
    assert metric.state()["count"] == 200


def test_a_collapsed_model_is_not_right():
    metric = TopkAcc(topk=1)
    metric.update(np.zeros((10, 10), np.float32), np.arange(10))
    assert metric.result() == {"top1": 0.1}


def test_nan_is_never_correct():
    logits = np.array([[np.nan, np.nan], [0.0, np.nan], [np.nan, 1.0], [0.0, 1.0]], np.float32)
    metric = TopkAcc(topk=(1, 2))
    metric.update(logits, np.array([0, 0, 1, 1]))
    assert metric.result() == {"top1": 0.25, "top2": 0.25}


def test_infinity_is_a_number():
    metric = TopkAcc(topk=1)
    metric.update(np.array([[np.inf, 0.0], [-np.inf, 0.0]]), np.array([0, 0]))
    assert metric.result() == {"top1": 0.5}


def test_no_samples():
    metric = TopkAcc()
    metric.update(np.zeros((0, 5)), np.zeros(0, np.int64))
    assert all(math.isnan(value) for value in metric.result().values())


def test_counts_continue_and_add_up():
    rng = np.random.RandomState(1)
    logits, labels = rng.randn(50, 7), rng.randint(0, 7, 50)
    whole, first, second, rest = (build_metrics([{"TopkAcc": {"topk": [1, 5]}}]) for _ in range(4))
    whole.update(logits, labels)
    first.update(logits[:20], labels[:20])
    rest.update(logits[20:], labels[20:])
    second.load_state(json.loads(json.dumps(first.state())))
    second.update(logits[20:], labels[20:])
    assert second.result() == whole.result()
    one, two = first.state()["TopkAcc"], rest.state()["TopkAcc"]
    second.load_state({"TopkAcc": {key: one[key] + two[key] for key in one}})
    assert second.result() == whole.result()
    second.reset()
    assert second.state() == {"TopkAcc": {"count": 0, "top1": 0, "top5": 0}}


def test_counts_of_another_metric():
    with pytest.raises(CheckpointError, match="top3"):
        TopkAcc(topk=[1, 5]).load_state({"count": 1, "top1": 1, "top3": 1})
    with pytest.raises(CheckpointError, match="the saved metrics are"):
        build_metrics([{"TopkAcc": None}]).load_state({})


def test_too_few_classes():
    metric = build_metrics([{"TopkAcc": {"topk": [1, 7, 5]}}])
    metric.metrics["TopkAcc"].check(7)
    assert (metric.names, metric.renamed) == (["top1", "top7", "top5"], {})
    metric.metrics["TopkAcc"].check(3)
    assert (metric.names, metric.renamed) == (["top1", "top3"], {"top7": "top3", "top5": "top3"})
    metric.update(np.array([[0.0, 2.0, 1.0], [0.0, 2.0, 1.0]]), np.array([1, 0]))
    assert metric.result() == {"top1": 0.5, "top3": 1.0}
    with pytest.raises(ConfigError, match="topk 3 exceeds 2 classes, and samples of more were counted"):
        metric.update(np.zeros((1, 2)), np.array([0]))


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (np.zeros((2, 5)), np.array([0]), r"logits \[B, K\]"),
        (np.zeros((2, 5)), np.array([0.0, 1.0]), "float64"),
        (np.zeros(5), np.array([0]), r"logits \[B, K\]"),
        (np.zeros((2, 5)), np.array([0, 5]), "labels from 0 to 5 for 5 classes"),
        (np.zeros((2, 5)), np.array([-1, 2]), "labels from -1 to 2"),
    ],
)
def test_wrong_batches(logits, labels, message):
    with pytest.raises(ValueError, match=message):
        TopkAcc().update(logits, labels)


@pytest.mark.parametrize("topk", [[], [0], [1, 1], [-1], [1.5], [True]])
def test_wrong_topk(topk):
    with pytest.raises(ConfigError, match="topk: must be different positive integers"):
        TopkAcc(topk=topk)


@pytest.mark.parametrize(
    ("components", "message"),
    [
        ([{"TopkAc": {}}], "did you mean 'TopkAcc'"),
        ([{"TopkAcc": {"k": 1}}], "unknown argument 'k'"),
        ([{"TopkAcc": {}}, {"TopkAcc": {}}], "twice"),
        ([{"TopkAcc": {}}, {"DistillationTopkAcc": {"model_key": "Student"}}], "both report 'top1'; remove one"),
        ([{}], "must be one metric"),
    ],
)
def test_wrong_recipes(components, message):
    with pytest.raises(ConfigError, match=message):
        build_metrics(components)


def test_names():
    assert build_metrics([{"TopkAcc": {"topk": [5, 1]}}]).names == ["top5", "top1"]
    assert build_metrics([]).result() == {}


def test_states_of_several_processes_are_merged():
    metric = TopkAcc(topk=[1, 2])
    assert metric.merge([metric.state(), {"count": 4, "top1": 1, "top2": 3}, {"count": 2, "top1": 2, "top2": 2}]) == {
        "count": 6,
        "top1": 3,
        "top2": 5,
    }
    nested = {"rows": [[1, 2], [3, 4]], "none": {}}
    assert sum_states([nested, nested]) == {"rows": [[2, 4], [6, 8]], "none": {}}


class Share:
    """The smallest metric: two methods."""

    def __init__(self):
        self.right, self.count = 0, 0

    def update(self, logits, targets):
        self.right = self.right + (logits.argmax(1) == targets).astype("int64").sum()
        self.count += len(targets)

    def result(self):
        return self.right.item() / self.count


def test_a_metric_of_two_methods_is_enough():
    metric = CombinedMetric({"Share": MetricAdapter("Share", Share, None)})
    for _ in range(2):
        metric.reset()  # it has none: it is made anew
        metric.update(paddle.to_tensor([[1.0, 0.0], [1.0, 0.0]]), paddle.to_tensor([0, 1]))
        assert metric.result() == {"Share": 0.5}
    assert metric.names == ["Share"]
    with pytest.raises(ConfigError, match=r"Share: a metric in Metric.Train.* needs the methods state\(\)"):
        metric.state()
    with pytest.raises(ConfigError, match=r"needs the methods update\(logits, targets\) and result"):
        MetricAdapter("Empty", object, None)


class Errors(Share):
    """The share of wrong answers, and which ones they were."""

    lower_is_better = True
    extra: object = None

    def result(self):
        return 1 - super().result()

    def details(self, class_names):
        return {"first": class_names[0] if class_names else 0, "extra": self.extra}


def test_a_user_s_metric_may_have_details_and_a_direction():
    metric = CombinedMetric({"Errors": MetricAdapter("Errors", Errors, None), "TopkAcc": TopkAcc(1)})
    assert metric.lower_is_better == ["Errors"]
    metric.metrics["Errors"].check_labels(multi_label=False)
    metric.update(paddle.to_tensor([[1.0, 0.0], [1.0, 0.0]]), paddle.to_tensor([0, 1]))
    assert metric.result() == {"Errors": 0.5, "top1": 0.5}
    assert metric.details(["cat", "dog"]) == {"Errors": {"first": "cat", "extra": None}}
    assert metric.details() == {"Errors": {"first": 0, "extra": None}}
    assert CombinedMetric({"Share": MetricAdapter("Share", Share, None)}).details() == {}
    derived = MetricAdapter("Derived", lambda: type("Derived", (TopkAcc,), {})(), None)
    with pytest.raises(ConfigError, match=r"is for data with one label .* of your own .* has multi_label = True"):
        derived.check_labels(multi_label=True)
    for wrong in (np.zeros(3), float("nan"), {1, 2}):
        adapter = MetricAdapter("Errors", lambda value=wrong: type("Wrong", (Errors,), {"extra": value})(), None)
        with pytest.raises(ConfigError, match=r"Errors.details: must return a dict of numbers, texts, None"):
            adapter.details()
