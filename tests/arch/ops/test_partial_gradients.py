"""``paddle.grad`` by some tensors: what a PyLayer is not told, and Paddle expects it to know."""

import contextlib

import numpy as np
import paddle
import pytest

import ppcls
from ppcls.arch import ops
from ppcls.utils import environment

pytestmark = pytest.mark.skipif(paddle.__version__.startswith("2."), reason="refused with Paddle 2, which crashes")
MODELS = {
    "ConvMixer_256_8": {"dim": 32, "depth": 2},
    "ConvMLP_S": {"drop_path_rate": 0.0},
    "gMLP_Ti16": {"depth": 2, "image_size": 64, "drop_path_rate": 0.0},
    "CycleMLP_B1": {"layers": [1, 1, 1, 1], "embed_dims": [16, 16, 32, 32], "drop_path_rate": 0.0},
}


@pytest.fixture(params=MODELS)
def model(request):
    paddle.seed(0)
    model = ppcls.create_model(request.param, class_num=5, **MODELS[request.param])
    for parameter in model.parameters():  # some classifiers begin as zeros
        parameter.set_value(parameter + 0.02 * paddle.randn(parameter.shape))
    model.train()
    return model


def loss_of(model, x):
    return (model(x) * paddle.to_tensor([[1.0, -2.0, 3.0, 0.5, -1.0], [2.0, 1.0, -1.0, 0.0, 1.0]])).sum()


def images():
    x = paddle.to_tensor(np.random.default_rng(0).standard_normal((2, 3, 64, 64)).astype("float32"))
    x.stop_gradient = False
    return x


def all_gradients(model):
    """Return the images' gradient of a whole backward pass; the parameters have theirs."""
    x = images()
    loss_of(model, x).backward()
    return x.grad


def middle_weight(model):
    """Return a projection's or convolution's weight in the middle of the model."""
    weights = [parameter for parameter in model.parameters() if parameter.ndim >= 2]
    return weights[len(weights) // 2]


# Compared with a whole backward pass: Paddle's own paddle.grad by the input of a layer norm leaves out its weight
# (3.3.1, on CPUs), so that the plain operators are no reference here.
@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("what", ["images", "weight", "both"])
def test_by_some_tensors(model, what, bfloat16):
    assert ops.available()
    if bfloat16 and not environment.has_bfloat16():
        pytest.skip("this processor has no instructions for bfloat16")
    with ops.bfloat16_products() if bfloat16 else contextlib.nullcontext():
        assert_equal_to_a_whole_backward_pass(model, what)


def assert_equal_to_a_whole_backward_pass(model, what):
    x, weight = images(), middle_weight(model)
    targets = {"images": [x], "weight": [weight], "both": [weight, x]}[what]
    got = paddle.grad(loss_of(model, x), targets)
    assert all(parameter.grad is None for parameter in model.parameters())
    by_images = all_gradients(model)
    right = [by_images if target is x else weight.grad for target in targets]
    for mine, its in zip(got, right):
        np.testing.assert_array_equal(mine.numpy(), its.numpy())


def test_by_a_map_inside_the_model(model):
    name = next(name for name, parameter in model.named_parameters() if parameter is middle_weight(model))
    layer, maps = dict(model.named_sublayers())[name.rpartition(".")[0]], []

    def keep(_, __, y):
        y.retain_grads()
        maps.append(y)

    hook = layer.register_forward_post_hook(keep)
    (gradient,) = paddle.grad(loss_of(model, images()), maps)
    all_gradients(model)
    hook.remove()
    np.testing.assert_array_equal(gradient.numpy(), maps[1].grad.numpy())


def test_all_gradients_follow_as_before(model):
    x = images()
    loss = loss_of(model, x)
    (by_images,) = paddle.grad(loss, [x], retain_graph=True)
    loss.backward()
    np.testing.assert_array_equal(x.grad.numpy(), by_images.numpy())
    assert all(parameter.grad is not None for parameter in model.parameters() if not parameter.stop_gradient)


def test_tensors_at_which_gradients_end(model):
    x, weight = images(), middle_weight(model)
    (gradient,) = paddle.grad(loss_of(model, x), [x], no_grad_vars=[weight])
    np.testing.assert_array_equal(gradient.numpy(), all_gradients(model).numpy())


def test_a_failed_call_leaves_nothing_behind(model):
    x, unused = images(), paddle.ones([1])
    unused.stop_gradient = False
    with pytest.raises(ValueError):
        paddle.grad(loss_of(model, x), [unused])  # not part of the graph
    loss_of(model, x).backward()
    assert all(parameter.grad is not None for parameter in model.parameters() if not parameter.stop_gradient)
