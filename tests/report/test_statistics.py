"""The numbers of a report, beside their definitions and scikit-learn."""

import tracemalloc

import numpy as np
import pytest

from ppcls.engine import load_config
from ppcls.engine.predictions import Predictions
from ppcls.engine.state import Best
from ppcls.report import statistics
from ppcls.report.elements import Charts
from ppcls.report.records import Records
from ppcls.report.run_data import RunData
from ppcls.report.sections.classes import classes
from ppcls.report.sections.confusion_matrix import confusion_matrix
from tests.helpers.recipes import write_recipe


def single(labels, scores):
    """Return the answers with probabilities [N, K]."""
    labels, scores = np.array(labels), np.array(scores, np.float32)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :5]
    rows = np.arange(len(labels))
    return Predictions(
        indices=rows,
        labels=labels,
        predicted=order[:, 0],
        classes=order,
        scores=np.take_along_axis(scores, order, axis=1),
        label_scores=scores[rows, labels],
        images=len(labels),
    )


def multi(labels, scores):
    labels = np.array(labels, bool)
    empty = np.zeros(0)
    none = np.zeros((len(labels), 0), np.int64)
    scores = np.array(scores, np.float32)
    return Predictions(np.arange(len(labels)), labels, empty, none, scores, empty, len(labels))


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(300, 7)) * 2
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return rng.integers(0, 6, 300), scores  # the class 6 has no image


def test_counts_are_those_of_scikit_learn(drawn):
    metrics = pytest.importorskip("sklearn.metrics")
    labels, scores = drawn
    predictions = single(labels, scores)
    counts = statistics.ClassCounts.of(predictions, 7)
    given = {"y_true": labels, "y_pred": scores.argmax(axis=1), "labels": range(7)}
    expected = metrics.precision_recall_fscore_support(**given, zero_division=np.nan)
    np.testing.assert_allclose(counts.precision, expected[0])
    np.testing.assert_allclose(counts.recall, expected[1])
    np.testing.assert_allclose(counts.f1[:6], expected[2][:6])
    np.testing.assert_array_equal(counts.support, expected[3])
    matrix = statistics.confusion(predictions, 7)
    np.testing.assert_array_equal(matrix[:, :7], metrics.confusion_matrix(**given))
    assert not matrix[:, 7].any()
    wrong = matrix[:, :7] * (1 - np.eye(7, dtype=np.int64))
    most = statistics.taken_for(predictions, 7)
    assert most == {label: (row.argmax(), row.max()) for label, row in enumerate(wrong) if row.any()}
    assert 6 not in most


def test_a_class_that_is_never_predicted_has_no_precision():
    counts = statistics.ClassCounts.of(single([0, 1, 1], [[0.9, 0.1, 0], [0.8, 0.2, 0], [0.6, 0.4, 0]]), 3)
    assert np.isnan(counts.precision[1:]).all()
    assert counts.recall[:2].tolist() == [1.0, 0.0]
    assert np.isnan(counts.recall[2])
    assert counts.f1[:2].tolist() == [0.5, 0.0]
    assert counts.weakest(5) == [1, 0]


def test_calibration_is_that_of_the_metric(drawn):
    import paddle

    from ppcls.metric.calibration import CalibrationError

    labels, scores = drawn
    metric = CalibrationError()
    metric.update(paddle.to_tensor(np.log(scores).astype("float32")), paddle.to_tensor(labels))
    found = statistics.calibration(single(labels, scores))
    assert found.error == pytest.approx(metric.result()["calibration_error"], abs=1e-6)
    assert found.accuracy == pytest.approx((scores.argmax(axis=1) == labels).mean())
    assert sum(found.counts) == len(labels) == sum(count for _, _, count in found.bins)


def test_mistakes_are_the_surest_first_and_doubts_the_nearest():
    predictions = single([0, 0, 1, 1], [[0.1, 0.9], [0.45, 0.55], [0.2, 0.8], [0.7, 0.3]])
    assert statistics.most_confident_mistakes(predictions, 2) == [0, 3]
    assert statistics.least_certain(predictions, 1) == [1]


def test_outputs_that_are_not_finite_are_no_prediction():
    good = single([0, 1], [[0.9, 0.1], [0.2, 0.8]])
    broken = Predictions(
        good.indices, good.labels, np.array([2, 1]), good.classes, good.scores * np.array([[np.nan], [1]]),
        good.label_scores, 2,
    )  # fmt: skip
    assert statistics.confusion(broken, 2).tolist() == [[0, 0, 1], [0, 1, 0]]
    assert statistics.taken_for(broken, 2) == {}
    assert statistics.ClassCounts.of(broken, 2).predicted.tolist() == [0, 1]
    assert statistics.calibration(broken).accuracy == 1.0
    assert statistics.most_confident_mistakes(broken, 5) == []


def test_several_labels():
    metrics = pytest.importorskip("sklearn.metrics")
    labels = [[1, 0, 0], [1, 1, 0], [0, 0, 0]]
    scores = [[0.9, 0.2, 0.1], [0.4, 0.8, 0.3], [0.1, 0.7, 0.45]]
    predictions = multi(labels, scores)
    counts = statistics.ClassCounts.of(predictions, 3)
    assert counts.support.tolist() == [2, 1, 0]
    assert counts.predicted.tolist() == [1, 2, 0]
    assert counts.correct.tolist() == [1, 1, 0]
    assert statistics.exact_matches(predictions).tolist() == [True, False, False]
    precisions = statistics.label_precisions(predictions)
    assert precisions[0] == pytest.approx(metrics.average_precision_score([1, 1, 0], [0.9, 0.4, 0.1]))
    assert np.isnan(precisions[2])
    assert statistics.most_confident_mistakes(predictions, 3) == [2, 1]
    assert statistics.least_certain(predictions, 1) == [2]


def test_principal_components_keep_distances_of_a_plane():
    plane = np.random.default_rng(0).normal(size=(40, 2))
    axes = np.linalg.qr(np.random.default_rng(1).normal(size=(9, 9)))[0][:, :2]
    points, share = statistics.principal_components((plane @ axes.T + 5).astype("float32"))
    assert share == pytest.approx(1.0)
    distances = [np.linalg.norm(one[:, None] - one[None], axis=2) for one in (plane, points)]
    np.testing.assert_allclose(*distances, atol=1e-5)


def test_many_classes_need_no_matrix(digits, tmp_path):
    """A matrix of 10,000 classes takes 800 MB, in the process that trains."""
    class_num = 10_000
    labels = np.arange(class_num)
    predicted = np.where(labels < 20, 9_999, labels)
    zeros = np.zeros((class_num, 5))
    answers = Predictions(labels, labels, predicted, zeros.astype(int), zeros, zeros[:, 0], class_num)
    data = RunData(
        folder=tmp_path,
        config=load_config(write_recipe(digits, tmp_path)),
        recipe="",
        stages=[Records()],
        stage_folder=tmp_path,
        best=Best("top1"),
        epochs=1,
        class_names=[f"class {label}" for label in labels],
        predictions={"eval": answers},
    )
    tracemalloc.start()
    try:
        page = "".join([*classes(data).body, *confusion_matrix(data, Charts()).body])
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 100e6
    assert "20 mistakes. The 20 pairs of 10,000 classes" in page
    assert "class 9999 (1)" in page
