"""Averaged weights, frozen parts, layer decay, rates that follow the batch, mixed images: in real runs."""

import pickle

import numpy as np
import paddle
import pytest

import ppcls
from ppcls.optimizer import OPTIMIZERS, build_optimizer
from ppcls.optimizer.decay import decay_settings
from ppcls.weights import restricted_load
from tests.helpers.models import small_convmixer
from tests.helpers.recipes import MIXED_IMAGES
from tests.helpers.runs import records


def test_accumulated_batches_are_one_large_batch(recipe):
    """120 images: with batches of 16, the last group of two has 16 + 8, each image with the same weight."""
    gmlp = "Arch={name: gMLP, class_num: 10, dim: 16, depth: 2, image_size: 16, patch_size: 4}"
    changes = [gmlp, "Optimizer={name: Momentum, lr: {name: ConstLR, learning_rate: 0.1}}", "Global.epochs=2"]
    weights = {}
    for name, options in {
        "large": ["DataLoader.Train.sampler.batch_size=32"],
        "parts": ["DataLoader.Train.sampler.batch_size=16", "Global.update_freq=2"],
    }.items():
        folder = recipe.parent / name
        ppcls.train(ppcls.load_config(recipe, [*changes, *options, f"Global.output_dir={folder}"]))
        weights[name] = restricted_load(folder / "latest.pdparams")
        assert records(folder)[-1]["step"] == 8
    for name, array in weights["large"].items():
        np.testing.assert_allclose(weights["parts"][name], array, atol=2e-6, err_msg=name)


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_layer_decay_scales_every_optimizers_step(name):
    """One step with the rates of a stem, two blocks and a head against four optimizers with a rate each."""
    images, labels = paddle.randn([4, 3, 8, 8]), paddle.to_tensor([0, 1, 2, 0])

    def step(decay, rate):
        model = small_convmixer()
        args = {"name": name, "weight_decay": 0.1, "clip_norm": 0.5, "layer_decay": decay}
        optimizer = build_optimizer(args, model, learning_rate=rate)
        assert decay_settings(model).lr_factors == ((decay or 1.0) ** 3, 1.0)
        paddle.nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
        return {key: p.numpy() for key, p in model.named_parameters() if not p.stop_gradient}, model

    decayed, model = step(0.5, 0.1)
    for depth in range(4):
        alone, _ = step(None, 0.1 * 0.5 ** (3 - depth))
        for key, array in alone.items():
            if model.depth_of(key) == depth:
                np.testing.assert_allclose(decayed[key], array, rtol=1e-5, atol=1e-7, err_msg=key)


def test_the_rate_follows_the_batch(recipe, run):
    changes = ("Global.epochs=1", "Optimizer.lr.warmup_epoch=0", "Global.update_freq=4", "Global.print_batch_step=1")
    scaling = "Optimizer.lr_scaling={base_batch_size: 32}"
    done = run("train", "-c", recipe, "-o", *changes, scaling)
    assert "Optimizer.lr.learning_rate: 0.02 for a global batch of 64, scaled from 0.01 for 32 (linear)" in done.stderr
    assert records(recipe.parent / "out")[0]["lr"] == 0.02
    done = run("train", "-c", recipe, "-o", *changes, "Optimizer.lr_scaling={rule: sqrt, base_batch_size: 16}")
    assert records(recipe.parent / "out")[0]["lr"] == 0.02
    done = run("train", "-c", recipe, "-o", "Optimizer.lr_scaling={rule: cubic, base_batch_size: 1}", code=2)
    assert "Optimizer.lr_scaling.rule: must be 'linear', 'sqrt' or 'none'" in done.stderr
    done = run("train", "-c", recipe, "-o", "Optimizer.layerdecay=0.5", code=2)
    assert "Optimizer.layerdecay: unknown argument; did you mean 'layer_decay'?" in done.stderr


def test_a_recipe_as_paddleclas_writes_it(recipe, run):
    done = run("train", "-c", recipe, "-o", MIXED_IMAGES, "Loss.Train=[{CELoss: {weight: 1.0, epsilon: 0.1}}]")
    assert "[Train][Epoch 2/2][Avg]top1: " in done.stderr
    done = run("train", "-c", recipe, "-o", MIXED_IMAGES.replace("alpha: 0.8", "alfa: 0.8"), code=2)
    assert "unknown argument 'alfa'; did you mean 'alpha'?" in done.stderr
    assert "DataLoader.Train.dataset.batch_transform_ops.0.OpSampler" in done.stderr
    done = run("train", "-c", recipe, "-o", MIXED_IMAGES.replace("Train.dataset", "Eval.dataset"), code=2)
    assert "would mix the images of an evaluation" in done.stderr
    assert ppcls.load_config(recipe, [MIXED_IMAGES]).DataLoader.Train is not None


def test_accumulated_batches_with_class_weights_are_one_large_batch(recipe, run):
    gmlp = "Arch={name: gMLP, class_num: 10, dim: 16, depth: 2, image_size: 16, patch_size: 4}"
    sgd = "Optimizer={name: SGD, lr: {name: ConstLR, learning_rate: 0.1}}"
    loss = "Loss.Train=[{CELoss: {class_weights: [10, 1, 1, 1, 1, 0.1, 1, 1, 1, 5]}}]"
    for name, size, frequency in (("large", 32, 1), ("parts", 8, 4)):
        batches = (f"DataLoader.Train.sampler.batch_size={size}", f"Global.update_freq={frequency}")
        run("train", "-c", recipe, "-o", gmlp, sgd, loss, *batches, f"Global.output_dir={recipe.parent}/{name}")
    large, parts = (
        pickle.loads((recipe.parent / name / "latest.pdparams").read_bytes()) for name in ("large", "parts")
    )
    for name, array in large.items():
        np.testing.assert_allclose(parts[name], array, atol=2e-6, err_msg=name)
