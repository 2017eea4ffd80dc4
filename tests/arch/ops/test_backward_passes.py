"""Backward passes that Paddle crashes on, or computes wrongly, where operators are written in Python."""

import paddle
import pytest
from paddle.autograd import PyLayer

import ppcls
from ppcls.arch import ops
from ppcls.arch.layers import checkpointed
from ppcls.errors import ConfigError, TrainingError
from ppcls.utils import environment
from tests.arch.ops.cases import USUAL, tensors

# What an operator keeps: one that only moves or adds values keeps nothing.
KEEPING = [case for case in USUAL if not case.name.startswith(("residual", "mean", "pool", "shift"))]


def loss_of(case):
    inputs = tensors(case.arrays())
    return case.function(*inputs).sum(), [x for x in inputs if x is not None]


@pytest.mark.parametrize("case", USUAL, ids=lambda case: case.name)
def test_a_graph_that_is_retained_is_refused(case):
    loss, inputs = loss_of(case)
    with pytest.raises(ConfigError, match="retain_graph=True"):
        (loss * 2).backward(retain_graph=True)
    with pytest.raises(ConfigError, match="retain_graph=True"):
        paddle.autograd.backward([loss], retain_graph=True)
    loss.backward()
    assert all(x.grad is not None for x in inputs)


def test_other_graphs_are_retained():
    x = paddle.ones([3])
    x.stop_gradient = False
    loss = (x * x).sum()
    loss.backward(retain_graph=True)
    loss.backward()
    assert x.grad.tolist() == [4, 4, 4]


@pytest.mark.parametrize("case", USUAL, ids=lambda case: case.name)
def test_gradients_of_gradients_are_refused_before_the_pass(case):
    loss, inputs = loss_of(case)
    with pytest.raises(ConfigError, match="create_graph=True"):
        paddle.grad(loss, inputs, create_graph=True)
    loss.backward()  # nothing was consumed
    assert all(x.grad is not None for x in inputs)


def test_gradients_of_gradients_beside_the_operators():
    x, y = (paddle.to_tensor([3.0], stop_gradient=False) for _ in range(2))
    (first,) = paddle.grad(x**3 + ops.gelu(y), [x], create_graph=True)
    (second,) = paddle.grad(first, [x])
    assert second.item() == 18


@pytest.mark.parametrize("case", KEEPING, ids=lambda case: case.name)
def test_a_change_in_place_is_noticed(case):
    loss, inputs = loss_of(case)
    with paddle.no_grad():
        inputs[0].scale_(2.0)
    with pytest.raises(TrainingError, match="was changed in place"):
        loss.backward()
    loss, inputs = loss_of(case)  # nothing is left behind
    loss.backward()


@pytest.mark.parametrize("case", [c for c in KEEPING if len(c.shapes) > 1], ids=lambda case: case.name)
def test_a_change_of_a_weight_is_noticed(case):
    loss, inputs = loss_of(case)
    weight = len(inputs) // 2 if case.name.startswith("weighted") else 3 if case.name.startswith("gating") else 1
    with paddle.no_grad():
        inputs[weight].scale_(2.0)
    with pytest.raises(TrainingError, match="was changed in place"):
        paddle.grad(loss, inputs)


@pytest.mark.skipif(not environment.has_bfloat16(), reason="this processor has no instructions for bfloat16")
def test_a_rounded_copy_does_not_change():
    x, weight = tensors([paddle.randn([4, 8]).numpy(), paddle.randn([8, 3]).numpy()])
    with ops.bfloat16_products():
        loss = ops.linear(x, weight).sum()
    with paddle.no_grad():
        x.scale_(0.0)
    loss.backward()
    assert (weight.grad != 0).any()


class Fails(PyLayer):
    """An operator of somebody else's."""

    @staticmethod
    def forward(ctx, x):
        return x * 1

    @staticmethod
    def backward(ctx, dy):
        raise KeyError("their own")


def test_other_errors_stay_what_they_are():
    x = tensors([paddle.randn([4, 8]).numpy()])[0]
    with pytest.raises(OSError, match="their own"):
        Fails.apply(ops.gelu(x)).sum().backward()


def recomputing(**changes):
    paddle.seed(0)
    model = ppcls.create_model("ConvMixer_256_8", dim=16, depth=2, class_num=3, **changes)
    model.train()
    return model


@pytest.mark.skipif(paddle.__version__.startswith("2."), reason="refused with Paddle 2, which crashes")
def test_paddle_grad_through_recomputed_blocks():
    x = paddle.randn([2, 3, 16, 16])
    x.stop_gradient = False
    right, got = (paddle.grad((recomputing(recompute=r)(x) ** 2).sum(), [x])[0] for r in (False, True))
    assert (right == got).all()


class ChangesItsWeight(paddle.nn.Layer):
    """Multiplies by a weight, and changes it where gradients will be asked for."""

    def __init__(self):
        super().__init__()
        self.weight = self.create_parameter([8, 8])

    def forward(self, x):
        y = ops.linear(x, self.weight)
        if paddle.is_grad_enabled():
            with paddle.no_grad():
                self.weight.scale_(2.0)
        return y


def test_a_change_inside_a_recomputed_block_is_noticed():
    x = tensors([paddle.randn([4, 8]).numpy()])[0]
    loss = checkpointed(ChangesItsWeight(), x).sum()
    with pytest.raises(TrainingError, match="was changed in place"):
        loss.backward()
