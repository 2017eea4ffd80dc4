"""Whole models with the CPU operators inside: gradients, state dicts, exports."""

import contextlib

import numpy as np
import paddle
import pytest

from ppcls.arch import ops
from ppcls.utils import environment
from tests.arch.ops.models import MODELS, model_and_images

# Of each family few blocks, whose graph is traced quickly.
SHALLOW = {
    "ConvMixer_256_8": {"depth": 2},
    "ConvMLP_S": {"blocks": [1, 1, 1]},
    "CycleMLP_B1": {"layers": [1, 1, 1, 1]},
    "gMLP_Ti16": {"depth": 2},
}
_PLAIN_GRAPH = {"pylayer", "pd_op.py_layer", "py_func", "pd_op.py_func"}


def gradients(name):
    """Return the loss, the gradients of a training step and the running statistics after it."""
    model, images = model_and_images(name)
    model.train()
    loss = paddle.nn.functional.cross_entropy(model(images), paddle.to_tensor([3, 5]))
    loss.backward()
    found = {name: p.grad.numpy() for name, p in model.named_parameters() if p.grad is not None}
    statistics = {name: t.numpy() for name, t in model.state_dict().items() if name.endswith(("_mean", "_variance"))}
    return loss.item(), found, statistics


def largest_error(mine, right):
    return np.abs(mine - right).max() / max(np.abs(right).max(), 1e-30)


@pytest.mark.parametrize("name", MODELS)
def test_gradients(name):
    loss, mine, statistics = gradients(name)
    with ops.plain_operators():
        plain_loss, right, plain_statistics = gradients(name)
    assert loss == pytest.approx(plain_loss, rel=1e-5)
    assert mine.keys() == right.keys()
    largest = max(np.abs(values).max() for values in right.values())
    for key, values in right.items():
        scale = max(np.abs(values).max(), 1e-4 * largest)  # of what is 0 but for rounding, as biases before a norm
        assert np.abs(mine[key] - values).max() <= 1e-3 * scale, key
    assert statistics.keys() == plain_statistics.keys()
    for key, values in plain_statistics.items():
        np.testing.assert_allclose(statistics[key], values, rtol=1e-4, atol=1e-5 * np.abs(values).max(), err_msg=key)
    if environment.has_bfloat16():
        with ops.bfloat16_products():
            _, rounded, _ = gradients(name)
        errors = [largest_error(rounded[key], values) for key, values in right.items()]
        assert max(errors) > 1e-3  # something was rounded


@pytest.mark.parametrize("name", MODELS)
def test_state_dicts_and_layers_called(name):
    model, images = model_and_images(name)
    model.eval()
    with ops.plain_operators(), paddle.no_grad():
        right = model(images).numpy()
        maps = [m.numpy() for m in model.features(images)]
    with paddle.no_grad():
        np.testing.assert_allclose(model(images).numpy(), right, rtol=1e-3, atol=1e-4 * np.abs(right).max())
        for mine, plain in zip(model.features(images), maps):
            np.testing.assert_allclose(mine.numpy(), plain, rtol=1e-3, atol=1e-4 * np.abs(plain).max())
    for layer in model.sublayers():
        for _, value in layer.named_parameters(include_sublayers=False):
            assert value.is_contiguous()


@pytest.mark.parametrize("name", MODELS)
def test_exported_graphs_are_paddles(name):
    model, images = model_and_images(name, **SHALLOW[name])
    model.eval()
    operators = []
    for context in (ops.plain_operators, contextlib.nullcontext):
        with context():
            spec = [paddle.static.InputSpec([None, *images.shape[1:]], "float32")]
            traced = paddle.jit.to_static(_Wrapper(model), input_spec=spec, full_graph=True)
            block = traced.forward.concrete_program.main_program.global_block()
            operators.append([op.name() if hasattr(op, "operand_source") else op.type for op in block.ops])
    assert operators[0] == operators[1]
    assert not _PLAIN_GRAPH.intersection(operators[1])


class _Wrapper(paddle.nn.Layer):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        return self.model(images)
