"""Updates against closed forms in NumPy."""

import numpy as np
import paddle
import pytest
from paddle import nn

from ppcls.errors import ConfigError
from ppcls.optimizer import build_optimizer
from ppcls.optimizer.decay import decay_settings, split_by_decay
from ppcls.weights import create_model

RATES = [0.1, 0.05, 0.2]


class Tiny(nn.Layer):
    """Two parameters whose gradients are what the test says."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 2)
        self.norm = nn.LayerNorm(2)

    def gradients(self, step):
        rng = np.random.RandomState(step)
        return {name: rng.randn(*p.shape).astype("float32") for name, p in self.named_parameters()}

    def backward(self, step):
        wanted = self.gradients(step)
        sum((p * paddle.to_tensor(wanted[name])).sum() for name, p in self.named_parameters()).backward()


def train(args):
    """Return each parameter before and after three updates, and its gradients."""
    paddle.seed(0)
    model = Tiny()
    before = {name: p.numpy().astype("float64") for name, p in model.named_parameters()}
    optimizer = build_optimizer(args, model, learning_rate=123.0)
    for step, rate in enumerate(RATES):
        optimizer.set_lr(rate)
        model.backward(step)
        optimizer.step()
        optimizer.clear_grad()
    after = {name: p.numpy() for name, p in model.named_parameters()}
    gradients = [{n: g.astype("float64") for n, g in model.gradients(step).items()} for step in range(len(RATES))]
    return before, after, gradients


def clipped(gradients, bound):
    norm = np.sqrt(sum((g**2).sum() for g in gradients.values()))
    return {name: g * min(1, bound / norm) for name, g in gradients.items()}


def check(args, update, bound=None, decayed=lambda name: True):
    before, after, gradients = train(args)
    for name, p in before.items():
        memory = {}
        for step, rate in enumerate(RATES):
            g = (clipped(gradients[step], bound) if bound else gradients[step])[name]
            p = update(p, g, rate, step + 1, memory, decayed(name))
        np.testing.assert_allclose(after[name], p, rtol=2e-5, atol=1e-6, err_msg=name)


def sgd(decay):
    return lambda p, g, rate, t, memory, on: p - rate * (g + decay * on * p)


def momentum(decay, nesterov=False, mu=0.8):
    def update(p, g, rate, t, memory, on):
        g = g + decay * on * p
        v = memory["v"] = mu * memory.get("v", 0) + g
        return p - rate * (g + mu * v if nesterov else v)

    return update


def adam(decay, decoupled, b1=0.7, b2=0.95, eps=1e-3):
    def update(p, g, rate, t, memory, on):
        g = g if decoupled else g + decay * on * p
        m = memory["m"] = b1 * memory.get("m", 0) + (1 - b1) * g
        v = memory["v"] = b2 * memory.get("v", 0) + (1 - b2) * g**2
        p = p * (1 - rate * decay * on) if decoupled else p
        return p - rate * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)

    return update


def rmsprop(decay, rho=0.7, mu=0.0, centered=False, eps=1e-3):
    def update(p, g, rate, t, memory, on):
        g = g + decay * on * p
        s = memory["s"] = rho * memory.get("s", 0) + (1 - rho) * g**2
        m = memory["m"] = rho * memory.get("m", 0) + (1 - rho) * g
        v = memory["v"] = mu * memory.get("v", 0) + rate * g / np.sqrt(s - m**2 * centered + eps)
        return p - v

    return update


def nadam(decay, b1=0.7, b2=0.95, eps=1e-3, psi=0.05):
    def mu(t):
        return b1 * (1 - 0.5 * 0.96 ** (t * psi))

    def update(p, g, rate, t, memory, on):
        g = g + decay * on * p
        m = memory["m"] = b1 * memory.get("m", 0) + (1 - b1) * g
        v = memory["v"] = b2 * memory.get("v", 0) + (1 - b2) * g**2
        product = np.prod([mu(i) for i in range(1, t + 1)])
        step = mu(t + 1) * m / (1 - product * mu(t + 1)) + (1 - mu(t)) * g / (1 - product)
        return p - rate * step / (np.sqrt(v / (1 - b2**t)) + eps)

    return update


def lamb(decay, b1=0.7, b2=0.95, eps=1e-3, always=False):
    def update(p, g, rate, t, memory, on):
        m = memory["m"] = b1 * memory.get("m", 0) + (1 - b1) * g
        v = memory["v"] = b2 * memory.get("v", 0) + (1 - b2) * g**2
        r = (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps) + decay * on * p
        adapts = (always or decay * on) and np.linalg.norm(p) and np.linalg.norm(r)
        return p - rate * r * (np.linalg.norm(p) / np.linalg.norm(r) if adapts else 1)

    return update


def lion(decay, b1=0.7, b2=0.95):
    def update(p, g, rate, t, memory, on):
        m = memory.get("m", 0)
        memory["m"] = b2 * m + (1 - b2) * g
        return p - rate * (np.sign(b1 * m + (1 - b1) * g) + decay * on * p)

    return update


def adan(decay, b1=0.7, b2=0.6, b3=0.95, eps=1e-3, no_prox=False):
    def update(p, g, rate, t, memory, on):
        d = g - memory.get("g", g)  # the first difference is 0
        memory["g"] = g
        m = memory["m"] = b1 * memory.get("m", 0) + (1 - b1) * g
        v = memory["v"] = b2 * memory.get("v", 0) + (1 - b2) * d
        n = memory["n"] = b3 * memory.get("n", 0) + (1 - b3) * (g + b2 * d) ** 2
        scale = np.sqrt(n / (1 - b3**t)) + eps
        step = rate * (m / (1 - b1**t) + b2 * v / (1 - b2**t)) / scale
        return p * (1 - rate * decay * on) - step if no_prox else (p - step) / (1 + rate * decay * on)

    return update


BETAS = {"beta1": 0.7, "beta2": 0.95, "epsilon": 1e-3}
ADAN = {"beta1": 0.7, "beta2": 0.6, "beta3": 0.95, "epsilon": 1e-3}


@pytest.mark.parametrize(
    ("args", "update"),
    [
        ({"name": "SGD"}, sgd(0)),
        ({"name": "SGD", "weight_decay": 0.3}, sgd(0.3)),
        ({"name": "SGD", "regularizer": {"name": "L2", "coeff": 0.3}}, sgd(0.3)),
        ({"name": "Momentum", "momentum": 0.8}, momentum(0)),
        ({"name": "Momentum", "momentum": 0.8, "weight_decay": 0.3}, momentum(0.3)),
        ({"name": "Momentum", "momentum": 0.8, "use_nesterov": True, "weight_decay": 0.3}, momentum(0.3, True)),
        ({"name": "Adam", **BETAS}, adam(0, False)),
        ({"name": "Adam", **BETAS, "weight_decay": 0.3}, adam(0.3, False)),
        ({"name": "AdamW", **BETAS, "weight_decay": 0.3}, adam(0.3, True)),
        ({"name": "AdamW", **BETAS, "weight_decay": 0}, adam(0, True)),
        ({"name": "AdamWDL", **BETAS, "weight_decay": 0.3, "filter_bias_and_bn": False}, adam(0.3, True)),
        ({"name": "RMSProp", "rho": 0.7, "epsilon": 1e-3}, rmsprop(0)),
        ({"name": "RMSProp", "rho": 0.7, "epsilon": 1e-3, "momentum": 0.6, "weight_decay": 0.3}, rmsprop(0.3, mu=0.6)),
        (
            {"name": "RMSProp", "rho": 0.7, "epsilon": 1e-3, "momentum": 0.6, "centered": True, "weight_decay": 0.3},
            rmsprop(0.3, mu=0.6, centered=True),
        ),
        ({"name": "NAdam", **BETAS, "momentum_decay": 0.05}, nadam(0)),
        ({"name": "NAdam", **BETAS, "momentum_decay": 0.05, "weight_decay": 0.3}, nadam(0.3)),
        ({"name": "Lamb", **BETAS, "weight_decay": 0.3}, lamb(0.3)),
        ({"name": "Lamb", **BETAS, "weight_decay": 0.3, "always_adapt": True}, lamb(0.3, always=True)),
        ({"name": "Lamb", **BETAS, "weight_decay": 0}, lamb(0)),
        ({"name": "Lion", "beta1": 0.7, "beta2": 0.95, "weight_decay": 0.3}, lion(0.3)),
        ({"name": "Lion", "beta1": 0.7, "beta2": 0.95, "weight_decay": 0}, lion(0)),
        ({"name": "Adan", **ADAN}, adan(0)),
        ({"name": "Adan", **ADAN, "weight_decay": 0.3}, adan(0.3)),
        ({"name": "Adan", **ADAN, "weight_decay": 0.3, "no_prox": True}, adan(0.3, no_prox=True)),
    ],
)
def test_updates(args, update):
    check(args, update)
    check({**args, "clip_norm": 1.5}, update, bound=1.5)
    check({**args, "clip_norm": 1e6}, update, bound=1e6)
    check({**args, "clip_value": 0.4}, lambda p, g, *others: update(p, np.clip(g, -0.4, 0.4), *others))
    check({**args, "no_weight_decay_name": "norm xyz"}, update, decayed=lambda name: "norm" not in name)
    check({**args, "one_dim_param_no_weight_decay": True}, update, decayed=lambda name: name == "fc.weight")


def test_l1():
    check(
        {"name": "SGD", "regularizer": {"name": "L1", "coeff": 0.3}, "no_weight_decay_name": "bias"},
        lambda p, g, rate, t, memory, on: p - rate * (g + 0.3 * on * np.sign(p)),
        decayed=lambda name: "bias" not in name,
    )


def test_paddleclas_words_for_layer_decay_and_decay():
    def states(args):
        model = create_model("ConvMixer", dim=8, depth=2, patch_size=4, class_num=3)
        build_optimizer(args, model, learning_rate=0.1)
        return decay_settings(model)

    assert states({"name": "AdamWDL", "layerwise_decay": 0.5}) == states(
        {"name": "AdamW", "layer_decay": 0.5, "one_dim_param_no_weight_decay": True}
    )
    assert states({"name": "AdamWDL"}).lr_factors == (1, 1)
    settings = states({"name": "AdamWDL", "filter_bias_and_bn": False, "layer_decay": 0.1})
    assert not settings.not_decayed
    assert settings.lr_factors == (pytest.approx(1e-3), 1)


def test_clipping_sees_all_gradients_together_despite_layer_decay():
    """SGD's step of each parameter is its rate times the gradient clipped by the norm of all."""
    paddle.seed(0)
    model = create_model("ConvMixer", dim=8, depth=2, patch_size=4, class_num=3)
    args = {"name": "SGD", "layer_decay": 0.5, "clip_norm": 0.01}
    optimizer = build_optimizer(args, model, learning_rate=1.0)
    model(paddle.randn([4, 3, 8, 8])).square().sum().backward()
    before = {name: p.numpy() for name, p in model.named_parameters() if not p.stop_gradient}
    gradients = {name: p.grad.numpy() for name, p in model.named_parameters() if not p.stop_gradient}
    optimizer.step()
    steps = clipped(gradients, 0.01)
    for name, p in model.named_parameters():
        if name in before:
            expected = before[name] - 0.5 ** (3 - model.depth_of(name)) * steps[name]
            np.testing.assert_allclose(p.numpy(), expected, rtol=1e-5, atol=1e-7, err_msg=name)


def test_a_second_optimizer_forgets_the_first_one_s_decay():
    paddle.seed(0)
    model = Tiny()
    model.depth_of = lambda name: name.startswith("norm")
    build_optimizer({"name": "SGD", "weight_decay": 0.5, "layer_decay": 0.5}, model, learning_rate=0.1)
    optimizer = build_optimizer({"name": "SGD"}, model, learning_rate=0.1)
    before = model.fc.weight.numpy()
    model.backward(0)
    optimizer.step()
    np.testing.assert_allclose(model.fc.weight.numpy(), before - 0.1 * model.gradients(0)["fc.weight"], rtol=1e-5)


def test_what_is_decayed():
    model = create_model("ConvMixer", dim=8, depth=1, patch_size=2, class_num=3)
    decayed, not_decayed = split_by_decay(model, no_weight_decay_name="norm .bias")
    assert decayed == [
        "stem.conv.weight",
        "blocks.0.depthwise.conv.weight",
        "blocks.0.pointwise.conv.weight",
        "head.weight",
    ]
    assert "stem.norm.weight" in not_decayed
    assert not any(name.endswith(("_mean", "_variance")) for name in decayed + not_decayed)
    assert split_by_decay(model, one_dim_param_no_weight_decay=True)[0] == decayed
    model.no_weight_decay = lambda: {"head.weight"}
    assert split_by_decay(model)[1] == ["head.weight"]


def test_frozen_parameters_stay():
    model = create_model("ConvMixer", dim=8, depth=1, patch_size=2, class_num=3)
    for parameter in model.stem.parameters():
        parameter.stop_gradient = True
    before = model.stem.conv.weight.numpy()
    optimizer = build_optimizer({"name": "AdamW", "weight_decay": 0.5}, model, learning_rate=0.1)
    model(paddle.ones([2, 3, 4, 4])).sum().backward()
    optimizer.step()
    np.testing.assert_array_equal(model.stem.conv.weight.numpy(), before)
    for parameter in model.parameters():
        parameter.stop_gradient = True
    with pytest.raises(ConfigError, match="every parameter is frozen"):
        build_optimizer({"name": "AdamW"}, model, learning_rate=0.1)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"weight_decay": 0.1}, "name is missing"),
        ({"name": "AdamX"}, "unknown optimizer 'AdamX'; did you mean 'Adam"),
        ({"name": "AdamW", "weight_decy": 0.1}, "did you mean 'weight_decay'"),
        ({"name": "AdamW", "weight_decay": -0.1}, "weight_decay: must be a number of at least 0"),
        ({"name": "AdamW", "beta1": 1.0}, "beta1: must be"),
        ({"name": "AdamW", "regularizer": {"name": "L2", "coeff": 0.1}}, "unknown argument 'regularizer'"),
        ({"name": "Momentum", "momentum": 1.5}, "momentum: must be"),
        ({"name": "SGD", "momentum": 0.9}, "unknown argument 'momentum'"),
        ({"name": "SGD", "clip_norm": 0}, "clip_norm: must be a positive number"),
        ({"name": "SGD", "weight_decay": 0.1, "regularizer": {"name": "L2", "coeff": 0.1}}, "mean the same"),
        ({"name": "SGD", "regularizer": {"name": "L3", "coeff": 0.1}}, "unknown name 'L3'"),
        ({"name": "SGD", "regularizer": {"name": "L2"}}, r"regularizer\.coeff: must be"),
        ({"name": "SGD", "regularizer": {"name": "L2", "coef": 0.1}}, "did you mean 'coeff'"),
        ({"name": "SGD", "clip_norm": 1.0, "clip_value": 1.0}, "cannot be combined with clip_norm"),
        ({"name": "SGD", "clip_value": -1.0}, "clip_value: must be"),
        ({"name": "SGD", "layer_decay": 1.5}, "layer_decay: must be a number above 0 and at most 1, not 1.5"),
        ({"name": "SGD", "layer_decay": 0.5}, "layer_decay: Tiny has no depth_of"),
        ({"name": "AdamWDL", "layerwise_decay": 0}, "layerwise_decay: must be"),
        ({"name": "AdamWDL", "layerwise_decay": 0.5, "layer_decay": 0.5}, "means the same"),
        ({"name": "RMSProp", "rho": 1.0}, "rho: must be"),
        ({"name": "NAdam", "momentum_decay": -1}, "momentum_decay: must be"),
        ({"name": "Lamb", "epsilon": -1}, "epsilon: must be"),
        ({"name": "Lion", "beta2": 1.0}, "beta2: must be"),
        ({"name": "Lion", "epsilon": 1e-8}, "unknown argument 'epsilon'"),
        ({"name": "Adan", "beta3": 1.0}, "beta3: must be"),
        ({"name": "Adan", "epsilon": -1}, "epsilon: must be"),
        ({"name": "Adan", "betas": [0.98, 0.92, 0.99]}, "unknown argument 'betas'"),
        ({"name": "Adan", "no_prox": 2}, "no_prox"),
        ({"name": "SGD", "model": 1}, "unknown argument 'model'"),
    ],
)
def test_wrong_recipes(args, message):
    with pytest.raises(ConfigError, match=message):
        build_optimizer(args, Tiny(), learning_rate=0.1)
