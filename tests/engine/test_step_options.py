"""Averaged weights, frozen parts, layer decay, rates that follow the batch, mixed images: in real runs."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import paddle
import pytest

import ppcls
from ppcls.engine import freezing
from ppcls.engine.callbacks.early_stopping import evaluations_without_improvement
from ppcls.engine.ema import EMA
from ppcls.engine.model import build_model
from ppcls.engine.state import Best
from ppcls.errors import CheckpointError, ConfigError
from ppcls.optimizer import OPTIMIZERS, build_optimizer
from ppcls.optimizer.decay import decay_settings
from ppcls.weights import create_model, restricted_load
from tests.helpers.recipes import write_recipe
from tests.helpers.runs import digests, finish, records, resuming, start

MIXED = (
    "DataLoader.Train.dataset.batch_transform_ops=[{OpSampler: {MixupOperator: {alpha: 0.8, prob: 0.5}, "
    "CutmixOperator: {alpha: 1.0, prob: 0.5}}}]"
)
# Everything that could be lost on the way, saved at every update.
EVERYTHING = (
    *("Global.epochs=3", "Global.update_freq=2", "Global.save_every_minutes=0", "EMA.decay=0.9", MIXED),
    *("Global.freeze=[stem]", "Optimizer.layer_decay=0.7", "DataLoader.Train.sampler.name=RASampler"),
)


def small(**changes):
    paddle.seed(1)
    return create_model("ConvMixer", dim=8, depth=2, kernel_size=3, patch_size=4, class_num=3, **changes)


# -- averaged weights --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("warmup", [False, True])
def test_the_average_is_the_recursion_of_its_definition(warmup):
    model, rng = small(), np.random.default_rng(0)
    ema = EMA(model, 0.6, warmup)
    expected = {name: tensor.numpy().astype("float64") for name, tensor in model.state_dict().items()}
    for step in range(1, 8):
        for tensor in model.state_dict().values():
            tensor.set_value(rng.normal(size=tensor.shape).astype("float32"))
        ema.update(step)
        decay = min(0.6, (1 + step) / (10 + step)) if warmup else 0.6
        for name, tensor in model.state_dict().items():
            expected[name] = decay * expected[name] + (1 - decay) * tensor.numpy()
    raw = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    for name, array in ema.average().items():
        np.testing.assert_allclose(array, expected[name], atol=1e-6, err_msg=name)
    with ema.applied():
        for name, tensor in model.state_dict().items():
            np.testing.assert_allclose(tensor.numpy(), expected[name], atol=1e-6)
            np.testing.assert_array_equal(ema.weights()[name], raw[name])
            np.testing.assert_allclose(ema.average()[name], expected[name], atol=1e-6)
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), raw[name])


def test_the_average_of_a_half_precision_model_is_that_of_its_float32_copies():
    model, rng = small(), np.random.default_rng(0)
    full = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.to(dtype="float16")
    ema = EMA(model, 0.9, warmup=False, weights=lambda: full)
    expected = {name: tensor.numpy().astype("float64") for name, tensor in full.items()}
    for step in range(1, 5):
        for name, tensor in model.state_dict().items():
            full[name].set_value((full[name] + 1e-3 * rng.normal(size=tensor.shape)).astype("float32"))
            tensor.set_value(full[name].astype("float16"))
            expected[name] = 0.9 * expected[name] + 0.1 * full[name].numpy()
        ema.update(step)
    halves = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    before = ema.average()
    with ema.applied():
        for name, tensor in model.state_dict().items():
            rounded = paddle.to_tensor(before[name]).astype("float16")  # Paddle 2.6 does not round to the nearest
            np.testing.assert_array_equal(tensor.numpy(), rounded.numpy(), err_msg=name)
            np.testing.assert_array_equal(ema.weights()[name], full[name].numpy())
            np.testing.assert_array_equal(ema.average()[name], before[name])
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), halves[name])
        np.testing.assert_allclose(ema.average()[name], expected[name], atol=1e-6)


def test_an_average_of_another_model_is_refused():
    ema = EMA(small(), 0.9)
    arrays = ema.average()
    with pytest.raises(CheckpointError, match=r"do not fit this model: head\.weight"):
        ema.load({**arrays, "head.weight": arrays["head.weight"][:2]})
    with pytest.raises(CheckpointError, match="extra"):
        ema.load({**arrays, "extra": np.zeros(1)})


def probabilities(recipe, weights, batch):
    """Return what the recipe's model answers with the weights of a file."""
    model = build_model(ppcls.load_config(str(recipe)))
    model.set_state_dict(restricted_load(weights))
    model.eval()
    return paddle.nn.functional.softmax(model(paddle.to_tensor(batch))).numpy()


def test_both_are_evaluated_and_the_average_is_what_is_used(recipe, run, digits):
    run("train", "-c", recipe, "-o", "EMA.decay=0.5", "Global.epochs=3")
    out = recipe.parent / "out"
    log = (out / "train.log").read_text()
    assert re.search(r"\[Eval\]\[Epoch 3\]\[Avg\]CELoss: ", log)
    assert re.search(r"\[Eval\]\[Epoch 3\]\[EMA\]CELoss: ", log)
    kinds = {kind: [r for r in records(out) if r["kind"] == kind] for kind in ("eval", "eval_ema")}
    assert len(kinds["eval"]) == len(kinds["eval_ema"]) == 3
    assert kinds["eval"][-1]["loss"] != kinds["eval_ema"][-1]["loss"]
    for name, kind in (("latest", "eval_ema"), ("latest_raw", "eval")):
        values = json.loads(run("eval", "-c", recipe, "-o", f"Global.pretrained_model=out/{name}").stdout)
        assert values["loss"] == pytest.approx(kinds[kind][-1]["loss"], rel=1e-5), name
    best = max(kinds["eval_ema"], key=lambda record: record["top1"])
    values = json.loads(run("eval", "-c", recipe, "-o", "Global.pretrained_model=out/best_model").stdout)
    assert values["top1"] == best["top1"]
    for number, what in enumerate((("-c", recipe, "-o", "Global.pretrained_model=out/best_model"), (out, "-o"))):
        folder = recipe.parent / f"export {number}"
        run("export", *what, f"Global.save_inference_dir={folder}")
        predictor = ppcls.Predictor(folder)
        batch = np.stack([predictor.prepare(path) for path in sorted((digits / "val").iterdir())])
        exported = predictor.run(batch)
        average, raw = (probabilities(recipe, out / f"best_model{end}.pdparams", batch) for end in ("", "_raw"))
        np.testing.assert_allclose(exported, average, rtol=0, atol=1e-5)
        assert np.abs(exported - raw).max() > 1e-3


def test_averages_may_come_and_go(recipe, run):
    run("train", "-c", recipe, "-o", "EMA.decay=0.5", "Global.epochs=1")
    done = run("train", "-c", recipe, "-o", "Global.checkpoints=out/latest")
    assert "has averaged weights, and this recipe has no EMA" in done.stderr
    done = run("train", "-c", recipe, "-o", "Global.checkpoints=out/latest", "EMA.decay=0.5", "Global.epochs=3")
    assert "has no averaged weights: EMA begins with the trained ones" in done.stderr


# The signal arrives while the average is evaluated for the second time, with its weights in the model.
IN_AN_EVALUATION = """
import os, signal, sys
from ppcls import load_config, train
from ppcls.engine import evaluation
from ppcls.engine.signals import InterruptedRunError
calls, real = [0], evaluation.evaluate_model
def evaluate_model(*args, **kwargs):
    calls[0] += 1
    if calls[0] == 4: os.kill(os.getpid(), signal.SIGINT)
    return real(*args, **kwargs)
evaluation.evaluate_model = evaluate_model
try: train(load_config(sys.argv[1], sys.argv[2:]))
except InterruptedRunError as error: sys.exit(error.exit_code)
"""


def interrupt(recipe, how):
    out = recipe.parent / "out"
    if how == "evaluation":
        command = [sys.executable, "-c", IN_AN_EVALUATION, str(recipe), *EVERYTHING]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        assert subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 130
        return
    process = start(recipe, *EVERYTHING)
    while process.poll() is None and not (out / "metrics.jsonl").exists():
        time.sleep(0.02)
    while process.poll() is None and len(records(out)) < 3:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT if how == "signal" else signal.SIGKILL)
    assert finish(process)[0] == (130 if how == "signal" else -9)


@pytest.mark.parametrize("how", ["signal", "kill", "evaluation"])
def test_everything_at_once_interrupted_and_resumed_equals_uninterrupted(digits, tmp_path, how):
    folders = []
    for name in ("whole", "parts"):
        folder = tmp_path / name
        folder.mkdir()
        folders.append(write_recipe(digits, folder))
    code, err = finish(start(folders[0], *EVERYTHING))
    assert code == 0, err
    out = folders[1].parent / "out"
    interrupt(folders[1], how)
    code, err = finish(start(folders[1], *EVERYTHING, *resuming(out)))
    assert code == 0, err
    whole = folders[0].parent / "out"
    assert digests(out) == digests(whole)
    assert (out / "latest_raw.pdparams").read_bytes() == (whole / "latest_raw.pdparams").read_bytes()
    assert records(out) == records(whole)


def test_mixed_precision_has_no_effect_on_a_cpu_and_says_so_once(recipe, run):
    run("train", "-c", recipe)
    plain = digests(recipe.parent / "out")
    amp = (  # as PaddleClas's recipes write it
        "AMP={use_amp: true, use_fp16_test: false, scale_loss: 128.0, use_dynamic_loss_scaling: true, "
        "use_promote: false, level: O1}"
    )
    done = run("train", "-c", recipe, "-o", amp, "Global.output_dir=half")
    assert done.stderr.count("AMP has no effect on a CPU") == 1
    assert "AMP has no effect on a CPU" in (recipe.parent / "half" / "train.log").read_text()
    assert digests(recipe.parent / "half") == plain


# -- accumulation ------------------------------------------------------------------------------------------------


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


# -- frozen parts ------------------------------------------------------------------------------------------------


def test_frozen_parts_stay_and_the_rest_learns(recipe, run):
    weights = recipe.parent / "out" / "latest.pdparams"
    run("train", "-c", recipe, "-o", "Global.epochs=1", "Global.output_dir=first")
    start_weights = restricted_load(recipe.parent / "first" / "latest.pdparams")
    changes = ("Global.pretrained_model=first/latest", "Global.epochs=1", "Global.freeze=[stem, blocks.*.depthwise]")
    done = run("train", "-c", recipe, "-o", *changes)
    assert "frozen: 1,200 parameters, in stem, blocks.*.depthwise" in done.stderr
    trained = restricted_load(weights)
    for name, array in trained.items():
        frozen = name.startswith("stem") or ".depthwise." in name
        assert np.array_equal(array, start_weights[name]) == frozen, name


def test_what_freezing_matches():
    model = small()
    freezing.freeze(model, ["blocks.1", "stem.conv"])
    free = {name for name, parameter in model.named_parameters() if not parameter.stop_gradient}
    assert not any(name.startswith(("blocks.1.", "stem.conv.")) for name in free)
    assert {"stem.norm.weight", "blocks.0.pointwise.conv.weight", "head.bias"} <= free
    model.train()
    freezing.keep_frozen_in_eval(model, ["blocks.1", "stem.conv"])
    assert not model.blocks[1].depthwise.norm.training
    assert model.blocks[0].depthwise.norm.training
    assert sum(freezing.count(model).values()) == sum(
        int(p.size) for n, p in model.named_parameters() if n.rsplit(".", 1)[-1] not in ("_mean", "_variance")
    )
    with pytest.raises(ConfigError, match=r"Global.freeze\[0\]: this model has no part 'stages.0' .*blocks.0"):
        freezing.freeze(small(), ["stages.0"])


def test_nothing_left_to_train(recipe, run):
    done = run("train", "-c", recipe, "-o", "Global.freeze=[stem, blocks, head]", code=2)
    assert "every parameter is frozen" in done.stderr


# -- learning rates ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_layer_decay_scales_every_optimizers_step(name):
    """One step with the rates of a stem, two blocks and a head against four optimizers with a rate each."""
    images, labels = paddle.randn([4, 3, 8, 8]), paddle.to_tensor([0, 1, 2, 0])

    def step(decay, rate):
        model = small()
        args = {"name": name, "weight_decay": 0.1, "clip_norm": 0.5, "layer_decay": decay}
        optimizer = build_optimizer(args, model, learning_rate=rate)
        assert decay_settings(model).factors == ((decay or 1.0) ** 3, 1.0)
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


# -- mixed images ------------------------------------------------------------------------------------------------


def test_a_recipe_as_paddleclas_writes_it(recipe, run):
    done = run("train", "-c", recipe, "-o", MIXED, "Loss.Train=[{CELoss: {weight: 1.0, epsilon: 0.1}}]")
    assert "[Train][Epoch 2/2][Avg]top1: " in done.stderr
    done = run("train", "-c", recipe, "-o", MIXED.replace("alpha: 0.8", "alfa: 0.8"), code=2)
    assert "unknown argument 'alfa'; did you mean 'alpha'?" in done.stderr
    assert "DataLoader.Train.dataset.batch_transform_ops.0.OpSampler" in done.stderr
    done = run("train", "-c", recipe, "-o", MIXED.replace("Train.dataset", "Eval.dataset"), code=2)
    assert "would mix the images of an evaluation" in done.stderr
    assert ppcls.load_config(recipe, [MIXED]).DataLoader.Train is not None


# -- the best model, and the end of a run ------------------------------------------------------------------------


def test_the_best_model_by_a_loss(recipe, run):
    changes = ("Global.best_metric=CELoss", "Optimizer.lr.learning_rate=0.5", "Global.epochs=4")
    done = run("train", "-c", recipe, "-o", *changes)
    evaluations = [record for record in records(recipe.parent / "out") if record["kind"] == "eval"]
    best = min(evaluations, key=lambda record: record["CELoss"])
    assert json.loads(done.stdout) == {"CELoss": pytest.approx(best["CELoss"]), "epoch": best["epoch"]}
    values = json.loads(run("eval", "-c", recipe, "-o", "Global.pretrained_model=out/best_model").stdout)
    assert values["CELoss"] == pytest.approx(best["CELoss"], rel=1e-5)
    done = run("train", "-c", recipe, "-o", "Global.best_metric=top3", code=2)
    assert "Global.best_metric: no 'top3' is evaluated; did you mean 'top5'?" in done.stderr


def history(values):
    """Return records of evaluations; those of other kinds, and of the trained weights beside an average, are others."""
    others = [{"kind": "eval_ema", "epoch": 1, "top1": 9.0, "loss": -9.0}]
    return others + [{"kind": "eval", "epoch": n, "top1": value, "loss": value} for n, value in enumerate(values, 1)]


def test_which_evaluation_is_the_best():
    higher, lower = Best("top1"), Best("loss", lower=True)
    values = [None, 0.5, 0.7, 0.7, 0.6]  # None: it was no number
    for epoch, value in enumerate(values, start=1):
        for best in (higher, lower):
            best.update(float("nan") if value is None else value, epoch)
    assert (higher.value, higher.epoch) == (0.7, 3)
    assert (lower.value, lower.epoch) == (0.5, 2)
    assert evaluations_without_improvement(history(values), "eval", higher, 0.0) == 2
    assert evaluations_without_improvement(history(values), "eval", lower, 0.0) == 3
    assert evaluations_without_improvement(history([None, None]), "eval", higher, 0.0) == 2
    rising = [0.5, 0.54, 0.58, 0.62, 0.71]  # each better than the one before, few by more than 0.1
    assert [evaluations_without_improvement(history(rising[:n]), "eval", higher, 0.1) for n in range(6)] == [
        *(0, 0, 1, 2, 0, 1)
    ]


def test_a_run_that_does_not_improve_ends_and_the_count_is_resumed(recipe, run):
    still = "Optimizer={name: SGD, lr: {name: ConstLR, learning_rate: 0.0}}"
    changes = (still, "Global.early_stopping.patience=2", "Global.freeze=[stem, blocks]", "EMA.decay=0.5")
    run("train", "-c", recipe, "-o", *changes, "Global.epochs=2")
    done = run("train", "-c", recipe, "-o", *changes, "Global.epochs=9", "Global.checkpoints=out/latest")
    assert "early stopping after epoch 3: top1 has not improved by more than 0 in 2 evaluations" in done.stderr
    assert json.loads(done.stdout)["epoch"] == 1
    assert json.loads((recipe.parent / "out" / "latest.pdstates").read_text())["epoch"] == 3
    done = run("train", "-c", recipe, "-o", *changes, "Global.epochs=9", "Global.checkpoints=auto")
    assert "early stopping after epoch 3" in done.stderr
    assert "[Train]" not in done.stderr
    done = run("train", "-c", recipe, "-o", *changes, "Global.eval_during_train=false", code=2)
    assert "Global.early_stopping: nothing is evaluated" in done.stderr


# -- static graphs -----------------------------------------------------------------------------------------------

TINY = {
    "ConvMLP": "blocks: [1, 1], dims: [8, 8], mlp_ratios: [1, 1], channels: 4, conv_blocks: 1, drop_path_rate: 0.5",
    "ConvMixer": "dim: 8, depth: 1, kernel_size: 3, patch_size: 4",
    "CycleMLP": "layers: [1, 1], embed_dims: [8, 8], mlp_ratios: [1, 1], drop_path_rate: 0.5",
    "gMLP": "dim: 8, depth: 2, image_size: 16, patch_size: 4, drop_path_rate: 0.5, drop_rate: 0.1",
}


@pytest.mark.parametrize("family", TINY)
def test_a_static_graph_trains_the_same_model(recipe, family):
    changes = [f"Arch={{name: {family}, class_num: 10, {TINY[family]}}}", "Global.epochs=1"]
    changes += [f"DataLoader.{split}.sampler.batch_size=40" for split in ("Train", "Eval")]
    done = {}
    # Two batches of unlike size make an update: tracing for the second must not lose the first one's gradients.
    changes += ["DataLoader.Train.sampler.batch_size=50", "Global.update_freq=3"]
    for static in ("false", "true"):
        folder = recipe.parent / static
        options = [f"Global.to_static={static}", f"Global.output_dir={folder}"]
        ppcls.train(ppcls.load_config(recipe, [*changes, *options]))
        done[static] = restricted_load(folder / "latest.pdparams"), records(folder)
    for name, array in done["false"][0].items():
        np.testing.assert_allclose(done["true"][0][name], array, atol=1e-6, err_msg=name)
    assert done["true"][1][-1]["loss"] == pytest.approx(done["false"][1][-1]["loss"], rel=1e-5)


def test_a_static_graph_is_for_one_size_of_image(recipe, run):
    done = run("train", "-c", recipe, "-o", "Global.to_static=true", "Global.image_shape=[3, 32, 32]", code=2)
    assert "Global.to_static needs images of Global.image_shape=[3, 32, 32], and got [3, 16, 16]" in done.stderr


def test_a_static_graph_with_everything_else_is_resumed_exactly(recipe, run):
    arch = f"Arch={{name: gMLP, class_num: 10, {TINY['gMLP']}}}"
    options = (arch, "Global.to_static=true", "Global.update_freq=2", "EMA.decay=0.9", "Global.freeze=[blocks.0]")
    run("train", "-c", recipe, "-o", *options)
    whole = digests(recipe.parent / "out")
    run("train", "-c", recipe, "-o", *options, "Global.to_static=false", "Global.output_dir=dynamic")
    assert digests(recipe.parent / "dynamic") == whole
    run("train", "-c", recipe, "-o", *options, "Global.epochs=1", "Global.output_dir=parts")
    run("train", "-c", recipe, "-o", *options, "Global.output_dir=parts", "Global.checkpoints=parts/latest")
    assert digests(recipe.parent / "parts") == whole
