"""Losses against their closed forms in NumPy."""

import numpy as np
import paddle
import pytest

from ppcls.errors import ConfigError
from ppcls.loss import BCELoss, CELoss, FocalLoss, SoftTargetCrossEntropy, build_loss

RNG = np.random.RandomState(0)
LOGITS = (RNG.randn(6, 4) * 3).astype("float32")
HARD = RNG.randint(0, 4, 6)
SOFT = RNG.dirichlet(np.ones(4), 6).astype("float32")


def closed_form(logits, target, epsilon):
    logits = logits.astype("float64")
    log_p = logits - logits.max(-1, keepdims=True)
    log_p -= np.log(np.exp(log_p).sum(-1, keepdims=True))
    target = (1 - epsilon) * target + epsilon / logits.shape[1]
    return -(target * log_p).sum(-1).mean()


@pytest.mark.parametrize("epsilon", [None, 0.0, 0.1, 0.9])
@pytest.mark.parametrize("soft", [False, True])
def test_cross_entropy(epsilon, soft):
    labels = paddle.to_tensor(SOFT if soft else HARD)
    found = CELoss(epsilon=epsilon)(paddle.to_tensor(LOGITS), labels)
    assert found.shape == []
    target = SOFT if soft else np.eye(4)[HARD]
    assert float(found) == pytest.approx(closed_form(LOGITS, target, epsilon or 0), rel=1e-6)


@pytest.mark.parametrize("epsilon", [None, 0.1])
def test_one_hot_is_the_hard_label(epsilon):
    loss, logits = CELoss(epsilon=epsilon), paddle.to_tensor(LOGITS)
    one_hot = paddle.to_tensor(np.eye(4, dtype="float32")[HARD])
    assert float(loss(logits, one_hot)) == pytest.approx(float(loss(logits, paddle.to_tensor(HARD))), rel=1e-6)


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_gradient(dtype):
    logits = paddle.to_tensor(LOGITS, stop_gradient=False)
    CELoss(epsilon=0.1)(logits, paddle.to_tensor(HARD.astype(dtype))).backward()
    p = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
    wanted = (p - (0.9 * np.eye(4)[HARD] + 0.1 / 4)) / len(HARD)
    np.testing.assert_allclose(logits.grad.numpy(), wanted, atol=1e-6)


def test_half_precision_logits_are_summed_in_float32():
    # 3,000 equal logits: in float16 the sum of the exponentials would overflow at 65504 for larger ones.
    logits = paddle.full([2, 3000], 6.0, "float16")
    assert float(CELoss()(logits, paddle.to_tensor([0, 1]))) == pytest.approx(np.log(3000), rel=1e-6)


def test_labels_of_another_shape():
    with pytest.raises(ValueError, match=r"soft labels of shape \[6, 3\]"):
        CELoss()(paddle.to_tensor(LOGITS), paddle.ones([6, 3]))
    with pytest.raises(ValueError, match=r"labels of shape \[6, 1\]"):
        CELoss()(paddle.to_tensor(LOGITS), paddle.to_tensor(HARD[:, None]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epsilon": 1.0}, "epsilon: expected a number of at least 0 and below 1, got 1.0"),
        ({"epsilon": -0.1}, "epsilon"),
        ({"weight": -1.0}, "weight: expected"),
        ({"weight": float("nan")}, "weight: expected"),
    ],
)
def test_arguments(arguments, message):
    with pytest.raises(ConfigError, match=message):
        CELoss(**arguments)


@pytest.mark.parametrize("weight", [1.0, 0.25, 0])
def test_the_weight_of_a_single_loss_counts(weight):
    values = build_loss([{"CELoss": {"weight": weight}}])(paddle.to_tensor(LOGITS), paddle.to_tensor(HARD))
    assert list(values) == ["CELoss", "loss"]
    wanted = weight * closed_form(LOGITS, np.eye(4)[HARD], 0)
    assert float(values["CELoss"]) == float(values["loss"]) == pytest.approx(wanted, rel=1e-6)


def test_no_arguments():
    values = build_loss([{"CELoss": None}])(paddle.to_tensor(LOGITS), paddle.to_tensor(HARD))
    assert float(values["loss"]) == pytest.approx(closed_form(LOGITS, np.eye(4)[HARD], 0), rel=1e-6)


@pytest.mark.parametrize(
    ("components", "message"),
    [
        ([], "no loss given"),
        ([{"CELos": {}}], "did you mean 'CELoss'"),
        ([{"CELoss": {"epsilom": 0.1}}], "did you mean 'epsilon'"),
        ([{"CELoss": {}}, {"CELoss": {}}], r"\[1\]: CELoss stands here twice"),
        ([{"CELoss": {}, "Other": {}}], "expected one loss and its arguments"),
    ],
)
def test_wrong_recipes(components, message):
    with pytest.raises(ConfigError, match=message):
        build_loss(components)


def test_class_weights_are_those_of_the_targets():
    weights = np.array([1.0, 0.0, 2.0, 5.0])
    logits = paddle.to_tensor(LOGITS)
    log_p = np.log(np.exp(LOGITS.astype("float64")) / np.exp(LOGITS.astype("float64")).sum(-1, keepdims=True))
    hard = -(weights[HARD] * log_p[np.arange(6), HARD]).sum() / weights[HARD].sum()
    loss = CELoss(class_weights=weights.tolist())
    assert float(loss(logits, paddle.to_tensor(HARD))) == pytest.approx(hard, rel=1e-6)
    smooth = 0.8 * SOFT + 0.2 / 4
    soft = -(smooth * weights * log_p).sum() / (smooth * weights).sum()
    loss = CELoss(epsilon=0.2, class_weights=weights.tolist())
    assert float(loss(logits, paddle.to_tensor(SOFT))) == pytest.approx(soft, rel=1e-6)
    even = CELoss(epsilon=0.1, class_weights=[3.0] * 4)(logits, paddle.to_tensor(HARD))
    assert float(even) == pytest.approx(float(CELoss(epsilon=0.1)(logits, paddle.to_tensor(HARD))), rel=1e-6)
    with pytest.raises(ConfigError, match="class_weights: 4 numbers for 5 classes"):
        build_loss([{"CELoss": {"class_weights": weights.tolist()}}], class_num=5)
    with pytest.raises(ConfigError, match="class_weights: all are 0"):
        CELoss(class_weights=[0, 0])


def test_soft_target_cross_entropy():
    logits, loss = paddle.to_tensor(LOGITS), SoftTargetCrossEntropy()
    assert float(loss(logits, paddle.to_tensor(SOFT))) == pytest.approx(closed_form(LOGITS, SOFT, 0), rel=1e-6)
    assert float(loss(logits, paddle.to_tensor(HARD))) == pytest.approx(
        closed_form(LOGITS, np.eye(4)[HARD], 0), rel=1e-6
    )


@pytest.mark.parametrize("threshold", [None, 0.2])
def test_binary_cross_entropy_and_its_gradient(threshold):
    target = 0.9 * SOFT + 0.1 / 4
    if threshold is not None:
        target = (target > threshold).astype("float64")
    logits = paddle.to_tensor(LOGITS, stop_gradient=False)
    found = BCELoss(epsilon=0.1, target_threshold=threshold)(logits, paddle.to_tensor(SOFT))
    p = 1 / (1 + np.exp(-LOGITS.astype("float64")))
    assert float(found) == pytest.approx(-(target * np.log(p) + (1 - target) * np.log(1 - p)).mean(), rel=1e-5)
    found.backward()
    np.testing.assert_allclose(logits.grad.numpy(), (p - target) / LOGITS.size, atol=1e-7)


def test_focal_loss():
    p = np.exp(LOGITS.astype("float64")) / np.exp(LOGITS.astype("float64")).sum(-1, keepdims=True)
    own = p[np.arange(6), HARD]
    logits, labels = paddle.to_tensor(LOGITS), paddle.to_tensor(HARD)
    found = FocalLoss(gamma=2, alpha=0.25)(logits, labels)
    assert float(found) == pytest.approx((-0.25 * (1 - own) ** 2 * np.log(own)).mean(), rel=1e-5)
    assert float(FocalLoss(gamma=0)(logits, labels)) == pytest.approx(float(CELoss()(logits, labels)), rel=1e-6)
    with pytest.raises(ConfigError, match="gamma: expected a number of at least 0"):
        FocalLoss(gamma=-1)
