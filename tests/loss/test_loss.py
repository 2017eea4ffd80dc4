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
        ({"epsilon": 1.0}, "epsilon: must be a number of at least 0 and below 1, not 1.0"),
        ({"epsilon": -0.1}, "epsilon"),
        ({"weight": -1.0}, "weight: must be"),
        ({"weight": float("nan")}, "weight: must be"),
    ],
)
def test_arguments(arguments, message):
    with pytest.raises(ConfigError, match=message):
        CELoss(**arguments)


def batch_mean(criterion, name):
    losses, weights = criterion.per_sample(paddle.to_tensor(LOGITS), paddle.to_tensor(HARD))[name]
    return losses.sum().item() / weights.sum().item()


@pytest.mark.parametrize("weight", [1.0, 0.25, 0])
def test_the_weight_of_a_single_loss_counts(weight):
    criterion = build_loss([{"CELoss": {"weight": weight}}])
    assert criterion.names == ["CELoss"]
    expected = weight * closed_form(LOGITS, np.eye(4)[HARD], 0)
    assert batch_mean(criterion, "CELoss") == pytest.approx(expected, rel=1e-6)


def test_no_arguments():
    criterion = build_loss([{"CELoss": None}])
    assert batch_mean(criterion, "CELoss") == pytest.approx(closed_form(LOGITS, np.eye(4)[HARD], 0), rel=1e-6)


@pytest.mark.parametrize(
    ("components", "message"),
    [
        ([], "no loss given"),
        ([{"CELos": {}}], "did you mean 'CELoss'"),
        ([{"CELoss": {"epsilom": 0.1}}], "did you mean 'epsilon'"),
        ([{"CELoss": {}}, {"CELoss": {}}], r"\[1\]: CELoss is listed twice"),
        ([{"CELoss": {}, "Other": {}}], "must be one loss and its arguments"),
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
    only = CELoss(class_weights=weights.tolist())(logits[:1], paddle.to_tensor([1]))
    assert float(only) == 0  # of a class without weight, not 0 / 0


def test_the_gradient_with_class_weights():
    weights = np.array([1.0, 0.5, 2.0, 5.0])
    logits = paddle.to_tensor(LOGITS, stop_gradient=False)
    CELoss(class_weights=weights.tolist())(logits, paddle.to_tensor(HARD)).backward()
    p = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
    own = weights[HARD]
    np.testing.assert_allclose(logits.grad.numpy(), own[:, None] * (p - np.eye(4)[HARD]) / own.sum(), atol=1e-6)


def test_balanced_class_weights():
    """Every class has the same part in the sum over the training data."""
    labels = np.array([0] * 6 + [1] * 3 + [3])
    loss = CELoss(class_weights="balanced", class_num=4, train_labels=labels)
    assert loss.class_weights == pytest.approx([10 / 24, 10 / 12, 0, 10 / 4])
    built = build_loss([{"CELoss": {"class_weights": "balanced"}}], 4, labels)
    assert built.losses[0].class_weights == loss.class_weights
    with pytest.raises(ConfigError, match=r"CELoss: class_weights: 'balanced' .* use it in Loss.Train only"):
        build_loss([{"CELoss": {"class_weights": "balanced"}}], 4)
    with pytest.raises(ConfigError, match="must be 'balanced' or one number per class, not 'even'"):
        CELoss(class_weights="even")


def test_soft_target_cross_entropy():
    logits, loss = paddle.to_tensor(LOGITS), SoftTargetCrossEntropy()
    assert float(loss(logits, paddle.to_tensor(SOFT))) == pytest.approx(closed_form(LOGITS, SOFT, 0), rel=1e-6)
    assert float(loss(logits, paddle.to_tensor(HARD))) == pytest.approx(
        closed_form(LOGITS, np.eye(4)[HARD], 0), rel=1e-6
    )


@pytest.mark.parametrize("threshold", [None, 0.2])
def test_binary_cross_entropy_and_its_gradient(threshold):
    target = SOFT if threshold is None else threshold < SOFT
    target = 0.9 * target + 0.1 / 4
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
    alpha = np.array([0.1, 0.2, 0.3, 0.4])
    found = FocalLoss(gamma=1.5, alpha=alpha.tolist())(logits, paddle.to_tensor(SOFT))
    wanted = -(SOFT * alpha * (1 - p) ** 1.5 * np.log(p)).sum(-1).mean()
    assert float(found) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("gamma", [0, 0.5, 2])
def test_the_gradient_of_the_focal_loss(gamma):
    def value(logits):
        p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        own = p[np.arange(6), HARD]
        return (-((1 - own) ** gamma) * np.log(own)).mean()

    logits = paddle.to_tensor(LOGITS, stop_gradient=False)
    FocalLoss(gamma=gamma)(logits, paddle.to_tensor(HARD)).backward()
    step, exact = 1e-6, LOGITS.astype("float64")
    wanted = np.zeros(LOGITS.shape)
    for place in np.ndindex(*LOGITS.shape):
        shift = np.zeros(LOGITS.shape)
        shift[place] = step
        wanted[place] = (value(exact + shift) - value(exact - shift)) / (2 * step)
    np.testing.assert_allclose(logits.grad.numpy(), wanted, atol=1e-6)
    certain = paddle.to_tensor([[200.0, 0, 0, 0]], stop_gradient=False)
    FocalLoss(gamma=gamma)(certain, paddle.to_tensor([0])).backward()
    np.testing.assert_allclose(certain.grad.numpy(), 0, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gamma": -1}, "gamma: must be a number of at least 0"),
        ({"alpha": 0}, "alpha: is 0"),
        ({"alpha": [0, 0]}, "alpha: all are 0"),
        ({"alpha": [1, 2, 3], "class_num": 4}, "alpha: 3 numbers for 4 classes"),
    ],
)
def test_arguments_of_the_focal_loss(arguments, message):
    with pytest.raises(ConfigError, match=message):
        FocalLoss(**arguments)
