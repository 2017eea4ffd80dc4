"""Losses of images with several classes, and the asymmetric loss of one class, against their formulas in NumPy."""

import numpy as np
import paddle
import pytest

from ppcls.errors import ConfigError
from ppcls.loss import (
    MULTI_LABEL,
    SINGLE_LABEL,
    AsymmetricLossSingleLabel,
    BCELoss,
    CELoss,
    MultiLabelAsymmetricLoss,
    MultiLabelLoss,
    build_loss,
)

RNG = np.random.RandomState(1)
LOGITS = (RNG.randn(6, 4) * 3).astype("float32")
LABELS = RNG.randint(0, 2, (6, 4)).astype("float32")
RATIO = np.array([0.1, 0.5, 0.75, 0.0], np.float32)
HARD = RNG.randint(0, 4, 6)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits.astype("float64")))


def softmax(logits):
    exponentials = np.exp(logits.astype("float64"))
    return exponentials / exponentials.sum(-1, keepdims=True)


def cross_entropy(targets, epsilon=0.0):
    p = sigmoid(LOGITS)
    smooth = (1 - epsilon) * targets + epsilon / 4
    return -(smooth * np.log(p) + (1 - smooth) * np.log(1 - p))


def sample_losses(loss, labels, logits=LOGITS):
    return loss.sample_losses(paddle.to_tensor(logits), paddle.to_tensor(labels)).numpy()


@pytest.mark.parametrize("epsilon", [None, 0.0, 0.1])
@pytest.mark.parametrize("size_sum", [False, True])
@pytest.mark.parametrize("weight_ratio", [False, True])
def test_multilabel_cross_entropy(epsilon, size_sum, weight_ratio):
    loss = MultiLabelLoss(epsilon, size_sum, weight_ratio, label_ratio=RATIO)
    weights = np.where(LABELS == 1, np.exp(1 - RATIO), np.exp(RATIO)) if weight_ratio else 1
    expected = cross_entropy(LABELS, epsilon or 0) * weights
    expected = expected.sum(-1) if size_sum else expected.mean(-1)
    np.testing.assert_allclose(sample_losses(loss, LABELS), expected, rtol=1e-5)
    # The mean over the samples is what is minimised.
    assert float(loss(paddle.to_tensor(LOGITS), paddle.to_tensor(LABELS))) == pytest.approx(expected.mean(), rel=1e-5)


def test_a_weighted_loss_needs_the_ratio_of_the_data():
    with pytest.raises(ConfigError, match=r"MultiLabelLoss.weight_ratio: needs the data set's label_ratio: true"):
        sample_losses(MultiLabelLoss(weight_ratio=True), LABELS)
    built = build_loss([{"MultiLabelLoss": {"weight_ratio": True, "weight": 2.0}}], 4, LABELS, RATIO)
    losses, weights = built.per_sample(paddle.to_tensor(LOGITS), paddle.to_tensor(LABELS))["MultiLabelLoss"]
    alone = sample_losses(MultiLabelLoss(weight_ratio=True, label_ratio=RATIO), LABELS)
    np.testing.assert_allclose(losses.numpy(), 2 * alone, rtol=1e-6)
    assert weights.numpy().tolist() == [1.0] * 6


@pytest.mark.parametrize("gamma_pos, gamma_neg, clip", [(1, 4, 0.05), (0, 4, 0.05), (0, 0, 0.0), (2.5, 0.5, 0.2)])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_multilabel_asymmetric_loss(gamma_pos, gamma_neg, clip, reduction):
    loss = MultiLabelAsymmetricLoss(gamma_pos, gamma_neg, clip, reduction=reduction)
    p = sigmoid(LOGITS)
    shifted = np.maximum(p - clip, 0)
    positive = -((1 - p) ** gamma_pos) * np.log(p)
    negative = -(shifted**gamma_neg) * np.log(1 - shifted)
    expected = np.where(LABELS == 1, positive, negative)
    expected = expected.sum(-1) if reduction == "sum" else expected.mean(-1)
    np.testing.assert_allclose(sample_losses(loss, LABELS), expected, rtol=1e-4, atol=1e-6)


def test_without_exponents_and_margin_the_asymmetric_loss_is_cross_entropy():
    plain = MultiLabelAsymmetricLoss(0, 0, 0.0, reduction="mean")
    np.testing.assert_allclose(sample_losses(plain, LABELS), cross_entropy(LABELS).mean(-1), rtol=1e-4)


def test_a_probability_of_zero_has_a_finite_loss():
    loss = MultiLabelAsymmetricLoss(gamma_pos=0, gamma_neg=4, epsilon=1e-8)
    found = sample_losses(loss, np.ones((1, 2), "float32"), np.full((1, 2), -200, "float32"))
    assert found[0] == pytest.approx(-2 * np.log(1e-8), rel=1e-5)


@pytest.mark.parametrize("disabled", [True, False])
def test_the_powers_are_constants_of_the_gradient_or_not(disabled):
    loss = MultiLabelAsymmetricLoss(gamma_pos=2, clip=0.0, disable_focal_loss_grad=disabled)
    logits = paddle.to_tensor(LOGITS, stop_gradient=False)
    loss.sample_losses(logits, paddle.ones_like(logits)).sum().backward()
    p = sigmoid(LOGITS)  # the loss of a positive: -(1 - p)^2 log p, and p' = p (1 - p)
    expected = -((1 - p) ** 3)
    if not disabled:
        expected = expected + 2 * (1 - p) * np.log(p) * p * (1 - p)
    np.testing.assert_allclose(logits.grad.numpy(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("gamma", [0.5, 1.0])
def test_gradients_are_finite_for_certain_samples(gamma):
    losses = [
        MultiLabelAsymmetricLoss(gamma, gamma, disable_focal_loss_grad=False),
        AsymmetricLossSingleLabel(gamma, gamma),
    ]
    for loss, labels in zip(losses, (paddle.ones([1, 2]), paddle.to_tensor([0]))):
        logits = paddle.to_tensor([[200.0, -200.0]], stop_gradient=False)
        loss.sample_losses(logits, labels).sum().backward()
        assert np.isfinite(logits.grad.numpy()).all()


@pytest.mark.parametrize(
    "loss",
    [
        MultiLabelLoss(0.1, True, True, label_ratio=RATIO),
        MultiLabelAsymmetricLoss(),
        AsymmetricLossSingleLabel(),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_a_mixed_target_has_the_mixture_of_the_losses(loss):
    single = isinstance(loss, AsymmetricLossSingleLabel)
    one, other = np.eye(4, dtype="float32")[HARD] if single else LABELS, np.zeros_like(LABELS)
    if single:
        other[:, 0] = 1
    mixed = sample_losses(loss, 0.3 * one + 0.7 * other)
    if isinstance(loss, MultiLabelLoss):  # weight and smoothed target both mix
        weights = [np.where(labels == 1, np.exp(1 - RATIO), np.exp(RATIO)) for labels in (one, other)]
        expected = (cross_entropy(0.3 * one, 0.1) * (0.3 * weights[0] + 0.7 * weights[1])).sum(-1)
    else:
        expected = 0.3 * sample_losses(loss, one) + 0.7 * sample_losses(loss, other)
    np.testing.assert_allclose(mixed, expected, rtol=1e-4)


@pytest.mark.parametrize("gamma_pos, gamma_neg, epsilon", [(1, 4, 0.1), (0, 4, 0.1), (2, 1, 0.3), (0, 0, 0.0)])
def test_asymmetric_loss_of_one_class(gamma_pos, gamma_neg, epsilon):
    loss = AsymmetricLossSingleLabel(gamma_pos, gamma_neg, epsilon)
    p, one_hot = softmax(LOGITS), np.eye(4)[HARD]
    powers = np.where(one_hot == 1, (1 - p) ** gamma_pos, p**gamma_neg)
    smooth = (1 - epsilon) * one_hot + epsilon / 4
    expected = -(smooth * powers * np.log(p)).sum(-1)
    for labels in (HARD, one_hot.astype("float32")):
        np.testing.assert_allclose(sample_losses(loss, labels), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("loss", [MultiLabelLoss(), MultiLabelAsymmetricLoss()], ids=lambda loss: type(loss).__name__)
def test_class_ids_are_no_labels_of_several_classes(loss):
    with pytest.raises(ValueError, match=r"labels \[B, K\] of 0 and 1 expected"):
        sample_losses(loss, HARD)
    with pytest.raises(ValueError, match=r"soft labels of shape \[6, 3\]"):
        sample_losses(loss, LABELS[:, :3])


@pytest.mark.parametrize(
    "name, arguments, problem",
    [
        ("MultiLabelLoss", {"epsilon": 1.0}, "epsilon: must be a number of at least 0 and below 1"),
        ("MultiLabelLoss", {"epsilon": -0.1}, "epsilon: must be a number of at least 0 and below 1"),
        ("MultiLabelLoss", {"weight": -1.0}, "weight: must be a number of at least 0"),
        ("MultiLabelLoss", {"size_sum": 1}, "size_sum: must be true or false"),
        ("MultiLabelAsymmetricLoss", {"gamma_neg": -1}, "gamma_neg: must be a number of at least 0"),
        ("MultiLabelAsymmetricLoss", {"clip": 1.0}, "clip: must be a number of at least 0 and below 1"),
        ("MultiLabelAsymmetricLoss", {"epsilon": 0}, "epsilon: must be a positive number"),
        ("MultiLabelAsymmetricLoss", {"reduction": "none"}, "reduction: must be 'sum' or 'mean'"),
        ("AsymmetricLossSingleLabel", {"epsilon": 1}, "epsilon: must be a number of at least 0 and below 1"),
        ("AsymmetricLossSingleLabel", {"gamma_pos": -1}, "gamma_pos: must be a number of at least 0"),
        ("MultiLabelLos", {}, "did you mean 'MultiLabelLoss'"),
    ],
)
def test_wrong_values(name, arguments, problem):
    with pytest.raises(ConfigError, match=problem):
        build_loss([{name: arguments}])


def test_what_a_loss_is_for():
    assert CELoss().label_kinds == AsymmetricLossSingleLabel().label_kinds == {SINGLE_LABEL}
    assert MultiLabelLoss().label_kinds == MultiLabelAsymmetricLoss().label_kinds == {MULTI_LABEL}
    assert BCELoss().label_kinds == {SINGLE_LABEL, MULTI_LABEL}
