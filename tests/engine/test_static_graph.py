"""``Global.to_static``: the same model, traced."""

import numpy as np
import pytest

import ppcls
from ppcls.weights import restricted_load
from tests.helpers.runs import digests, records

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
    dynamic = ("Global.to_static=false", "Global.output_dir=dynamic")
    run("train", "-c", recipe, "-o", *options, *dynamic, environment={"PPCLS_CPU_OPS": "plain"})
    assert digests(recipe.parent / "dynamic") == whole
    run("train", "-c", recipe, "-o", *options, "Global.epochs=1", "Global.output_dir=parts")
    run("train", "-c", recipe, "-o", *options, "Global.output_dir=parts", "Global.checkpoints=parts/latest")
    assert digests(recipe.parent / "parts") == whole
