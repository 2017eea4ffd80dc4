"""Heat maps by Grad-CAM: where they point, how strong they are, and what they leave as it was."""

import numpy as np
import paddle
import pytest

from ppcls.analysis import grad_cam
from ppcls.analysis.grad_cam import heat_maps, is_possible
from ppcls.arch import ops
from ppcls.errors import ConfigError, WeightsError
from tests.analysis.models import FAMILIES, SIDE, patches, tiny, trained_on_patches


@pytest.fixture(scope="module", params=FAMILIES)
def trained_model(request):
    return trained_on_patches(request.param)


def quadrant_of_peak(heat):
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    return 2 * (row >= SIDE // 2) + (column >= SIDE // 2)


def test_the_heat_is_where_the_class_is(trained_model):
    images, class_ids, quadrants = patches(24, 999)
    answers = trained_model(paddle.to_tensor(images)).numpy().argmax(1)
    assert (answers == class_ids).mean() >= 0.6
    heat = heat_maps(trained_model, images, class_ids)
    assert heat.shape == (24, SIDE, SIDE)
    assert heat.dtype == np.float32
    assert heat.min() >= 0
    assert heat.max() <= 1
    found = np.array([quadrant_of_peak(item) for item in heat])
    assert (found == quadrants).mean() >= 0.9


def test_another_class_has_other_evidence(trained_model):
    images, class_ids, _ = patches(8, 999)
    right = heat_maps(trained_model, images, class_ids)
    wrong = heat_maps(trained_model, images, (class_ids + 1) % 3)
    assert right.max(axis=(1, 2)).mean() > 0.5
    assert wrong.mean() < 0.5 * right.mean()


def test_noise_is_not_painted_red(trained_model):
    noise = np.random.default_rng(5).normal(0, 0.3, (12, 3, SIDE, SIDE)).astype(np.float32)
    class_ids = trained_model(paddle.to_tensor(noise)).numpy().argmax(1)
    assert heat_maps(trained_model, noise, class_ids).max(axis=(1, 2)).mean() < 0.5
    flat = np.zeros((1, 3, SIDE, SIDE), np.float32)
    class_ids = trained_model(paddle.to_tensor(flat)).numpy().argmax(1)
    assert heat_maps(trained_model, flat, class_ids).max() < 0.35


def test_channels_last_kernels_and_plain_operators_agree(trained_model):
    images, class_ids, _ = patches(4, 7)
    fast = heat_maps(trained_model, images, class_ids)
    with ops.plain_operators():
        plain = heat_maps(trained_model, images, class_ids)
    np.testing.assert_allclose(fast, plain, atol=2e-3)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_evidence_adds_up_to_the_logits(name):
    """The mean of the evidence over the positions is how far the class's logit is above the mean of the others."""
    model = tiny(name)
    model.eval()
    paddle.seed(3)
    model.head.weight.set_value(paddle.randn(model.head.weight.shape))  # gMLP's is zero at first
    images, class_ids, _ = patches(5, 3)
    evidence, class_num = grad_cam._evidence(model, images, class_ids, multilabel=False)
    logits = (model(paddle.to_tensor(images)) - model.head.bias).numpy()
    own = logits[np.arange(5), class_ids]
    others = (logits.sum(1) - own) / (class_num - 1)
    np.testing.assert_allclose(evidence.mean(axis=(1, 2)), own - others, rtol=1e-3, atol=1e-4)
    evidence, _ = grad_cam._evidence(model, images, class_ids, multilabel=True)
    np.testing.assert_allclose(evidence.mean(axis=(1, 2)), own, rtol=1e-3, atol=1e-4)


def test_the_model_is_left_as_it_was():
    model = tiny("ConvMixer")
    model.train()
    model.blocks[0].eval()  # as freezing does
    images, class_ids, _ = patches(4, 0)
    model(paddle.to_tensor(images)).sum().backward()
    modes = [layer.training for layer in model.sublayers(include_self=True)]
    gradients = [p.grad.numpy().copy() for p in model.parameters() if p.grad is not None]
    state = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    with paddle.no_grad():
        heat_maps(model, images, class_ids)
    assert [layer.training for layer in model.sublayers(include_self=True)] == modes
    for before, parameter in zip(gradients, [p for p in model.parameters() if p.grad is not None]):
        np.testing.assert_array_equal(parameter.grad.numpy(), before)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), state[name])


def test_pixels_that_no_patch_covers_are_cold():
    model = tiny("ConvMixer")  # patches of 8
    model.eval()
    images = np.random.default_rng(0).normal(0, 1, (1, 3, 68, 66)).astype(np.float32)
    heat = heat_maps(model, images, [0])
    assert heat.shape == (1, 68, 66)
    assert not heat[:, 64:].any()
    assert not heat[:, :, 64:].any()


def test_mistakes():
    model = tiny("ConvMixer")
    images, _, _ = patches(2, 0)
    with pytest.raises(ConfigError, match="classes 0 to 2"):
        heat_maps(model, images, [0, 3])
    with pytest.raises(ConfigError, match="one per image"):
        heat_maps(model, images, [0])
    other = paddle.nn.Linear(2, 2)
    assert not is_possible(other)
    with pytest.raises(ConfigError, match="Grad-CAM: needs forward_features"):
        heat_maps(other, images, [0, 0])
    model.head.weight.set_value(paddle.full_like(model.head.weight, np.nan))
    with pytest.raises(WeightsError, match="not finite"):
        heat_maps(model, images, [0, 0])
