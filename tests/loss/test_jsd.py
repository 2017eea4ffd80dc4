"""The loss of AugMix, against its formula in NumPy."""

import numpy as np
import paddle
import pytest

from ppcls.errors import ConfigError
from ppcls.loss import JSDCrossEntropy, MultiViewLoss, build_loss, require_views

VIEWS, COUNT, CLASSES = 3, 5, 7


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def by_hand(logits, labels, views, alpha, smoothing):
    """Return each image's loss: AugMix, equations (1) and (2), in float64."""
    p = softmax(logits.astype(np.float64).reshape(views, -1, CLASSES))
    targets = (1 - smoothing) * np.eye(CLASSES)[labels] + smoothing / CLASSES
    cross_entropy = -(targets * np.log(p[0])).sum(-1)
    mean = p.mean(0)
    divergence = sum((one * np.log(one / mean)).sum(-1) for one in p) / views
    return cross_entropy + alpha * divergence


def data(seed=0, views=VIEWS):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 3, (views * COUNT, CLASSES)).astype(np.float32), rng.integers(0, CLASSES, COUNT)


def tiled(labels, views=VIEWS):
    return paddle.to_tensor(np.tile(labels, views))


@pytest.mark.parametrize(("views", "alpha", "smoothing"), [(3, 12.0, 0.1), (2, 0.5, 0.0), (4, 0.0, 0.1)])
def test_formula(views, alpha, smoothing):
    logits, labels = data(1, views)
    loss = JSDCrossEntropy(views, alpha, smoothing)
    expected = by_hand(logits, labels, views, alpha, smoothing)
    found = loss.sample_losses(paddle.to_tensor(logits), tiled(labels, views)).numpy()
    np.testing.assert_allclose(found, np.tile(expected, views), rtol=1e-5)
    assert float(loss(paddle.to_tensor(logits), tiled(labels, views))) == pytest.approx(expected.mean(), rel=1e-5)


def test_defaults_are_those_of_the_paper_and_timm():
    logits, labels = data()
    loss = build_loss([{"JSDCrossEntropy": None}])
    found = MultiViewLoss(loss, 3).per_sample(paddle.to_tensor(logits), paddle.to_tensor(labels))
    losses, weights = found["JSDCrossEntropy"]
    np.testing.assert_allclose(losses.numpy(), by_hand(logits, labels, 3, 12, 0.1), rtol=1e-5)
    np.testing.assert_array_equal(weights.numpy(), np.ones(COUNT))


def test_equal_views_have_no_divergence():
    logits, labels = data()
    same = paddle.to_tensor(np.tile(logits[:COUNT], (3, 1)))
    plain = build_loss([{"CELoss": {"epsilon": 0.1}}]).per_sample(same[:COUNT], paddle.to_tensor(labels))["CELoss"][0]
    found = JSDCrossEntropy().sample_losses(same, tiled(labels))[:COUNT]
    np.testing.assert_allclose(found.numpy(), plain.numpy(), rtol=1e-5, atol=1e-5)


def test_certain_and_opposite_views_stay_finite():
    logits = np.full((3, CLASSES), -1e4, np.float32)
    logits[[0, 1, 2], [0, 1, 2]] = 1e4
    tensor = paddle.to_tensor(logits, stop_gradient=False)
    loss = JSDCrossEntropy(alpha=1, smoothing=0)(tensor, paddle.to_tensor([0, 0, 0]))
    assert float(loss) == pytest.approx(np.log(3), rel=1e-6)
    loss.backward()
    assert np.isfinite(tensor.grad.numpy()).all()


def test_gradient_against_differences():
    logits, labels = data(2)
    tensor = paddle.to_tensor(logits, stop_gradient=False)
    JSDCrossEntropy()(tensor, tiled(labels)).backward()
    for row, column in ((0, 0), (COUNT + 1, 2), (2 * COUNT + 4, 6)):
        step = np.zeros_like(logits, np.float64)
        step[row, column] = 1e-5
        up, down = (by_hand(logits + sign * step, labels, 3, 12, 0.1).mean() for sign in (1, -1))
        assert tensor.grad.numpy()[row, column] == pytest.approx((up - down) / 2e-5, rel=1e-3, abs=1e-5)


def test_other_losses_are_means_over_the_views():
    logits, labels = data(3)
    weights = [1, 2, 3, 1, 2, 3, 1]
    loss = build_loss([{"CELoss": {"class_weights": weights}}], CLASSES)
    losses, found = MultiViewLoss(loss, 3).per_sample(paddle.to_tensor(logits), paddle.to_tensor(labels))["CELoss"]
    weight = np.array(weights)[labels]
    nll = -np.log(softmax(logits.astype(np.float64)))[np.arange(3 * COUNT), np.tile(labels, 3)].reshape(3, COUNT)
    np.testing.assert_allclose(losses.numpy(), weight * nll.mean(0), rtol=1e-5)
    np.testing.assert_allclose(found.numpy(), weight, rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_splits": 1}, "num_splits: must be a whole number of at least 2"),
        ({"alpha": -1}, "alpha: must be"),
        ({"smoothing": 1}, "smoothing: must be"),
        ({"weight": -1}, "weight: must be"),
        ({"splits": 3}, "unknown argument 'splits'"),
    ],
)
def test_mistakes(arguments, message):
    with pytest.raises(ConfigError, match=message):
        build_loss([{"JSDCrossEntropy": arguments}])


def test_the_number_of_views_must_agree():
    loss = JSDCrossEntropy()
    require_views("JSDCrossEntropy", loss, 3)
    with pytest.raises(ConfigError, match="compares 3 views of each image, and there is one: it needs `splits: 3`"):
        require_views("JSDCrossEntropy", loss, 1)
    with pytest.raises(ConfigError, match="num_splits: is 3, and transform_ops makes 2 images"):
        require_views("JSDCrossEntropy", loss, 2)
    with pytest.raises(ValueError, match="4 rows of logits cannot be divided into 3 views"):
        loss.sample_losses(paddle.zeros([4, 2]), paddle.to_tensor([0, 0, 0, 0]))
