"""Train a small network from one update to another."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # the order of additions must not depend on the machine's load

import numpy as np
import paddle

from ppcls.loss import CELoss
from ppcls.optimizer import build_optimizer, load_optimizer_state, optimizer_state
from ppcls.weights import create_model, load_weights, restricted_load

ARGS = {
    "SGD": {"name": "SGD", "weight_decay": 0.01},
    "Momentum": {"name": "Momentum", "use_nesterov": True, "weight_decay": 0.01, "one_dim_param_no_weight_decay": True},
    "AdamWDL": {"name": "AdamWDL", "layerwise_decay": 0.5},
    "Adam": {"name": "Adam", "regularizer": {"name": "L1", "coeff": 0.001}, "clip_norm": 1.0},
    "AdamW": {"name": "AdamW", "weight_decay": 0.1, "no_weight_decay_name": "norm bias", "clip_norm": 1.0},
    "RMSProp": {"name": "RMSProp", "momentum": 0.9, "centered": True, "weight_decay": 0.01, "clip_value": 0.1},
    "NAdam": {"name": "NAdam", "weight_decay": 0.01},
    "Lamb": {"name": "Lamb", "weight_decay": 0.1, "one_dim_param_no_weight_decay": True},
    "Adan": {"name": "Adan", "weight_decay": 0.02, "no_weight_decay_name": "norm bias", "layer_decay": 0.5},
    "Lion": {
        "name": "Lion",
        "weight_decay": 0.1,
        "no_weight_decay_name": "norm bias",
        "clip_norm": 1.0,
        "layer_decay": 0.5,
    },
}


def make(name, seed, frozen=False):
    paddle.seed(seed)
    model = create_model("ConvMixer", dim=8, depth=2, kernel_size=3, patch_size=4, class_num=5)
    for parameter in model.stem.parameters() if frozen else ():
        parameter.stop_gradient = True
    return model, build_optimizer(ARGS[name], model, learning_rate=0.1)


def train(model, optimizer, first, last):
    loss = CELoss(epsilon=0.1)
    model.train()
    for step in range(first, last):
        rng = np.random.RandomState(step)
        x = paddle.to_tensor(rng.randn(4, 3, 8, 8).astype("float32"))
        optimizer.set_lr(0.05 / (1 + step))
        loss(model(x), paddle.to_tensor(rng.randint(0, 5, 4))).backward()
        optimizer.step()
        optimizer.clear_grad()


def main(name, first, last, out, checkpoint=None):
    """Load a checkpoint if one is given, train from update ``first`` to ``last``, and save to ``out``."""
    if checkpoint:
        make("AdamW", 1)  # other layers before, so that Paddle gives other names than the process that saved
    model, optimizer = make(name, seed=9 if checkpoint else 0)
    if checkpoint:
        saved = restricted_load(checkpoint)
        load_weights(model, saved["model"])
        load_optimizer_state(optimizer, model, saved["optimizer"])
    train(model, optimizer, int(first), int(last))
    weights = {key: tensor.numpy() for key, tensor in model.state_dict().items()}
    paddle.save({"model": weights, "optimizer": optimizer_state(optimizer, model)}, out)
