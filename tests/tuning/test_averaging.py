"""The mean of the weights of several checkpoints."""

import json
import shutil

import numpy as np
import pytest

from ppcls.engine.checkpointing import checkpoint, run_dir
from ppcls.engine.data import build_loader
from ppcls.engine.model import build_model
from ppcls.tuning import batch_norm
from ppcls.weights import load_weights, restricted_load


@pytest.fixture
def finished(trained, tmp_path):
    """Return a copy of a run of ten epochs, of which it has the last three."""
    shutil.copytree(trained / "out", tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def other(recipe, run):
    """Return a run from other random weights."""
    folder = recipe.parent / "other"
    run("train", "-c", recipe, "-o", "Global.epochs=4", "Global.seed=1", f"Global.output_dir={folder}")
    return folder


def weights(prefix):
    return restricted_load(f"{prefix}.pdparams")


def is_statistic(name):
    return name.endswith(("._mean", "._variance"))


def test_average_of_the_last_epochs(finished, trained, run):
    done = run("average", finished, "--last", "3", "--keep")
    result = json.loads(done.stdout)
    epochs = [finished / f"epoch_{number}" for number in (8, 9, 10)]
    assert result["averaged"] == [str(prefix) for prefix in epochs]
    assert result["metric"] == "top1"
    assert set(result["results"]) == {"averaged", "best_model", "latest"}
    assert result["kept"] == str(finished / "averaged")
    assert result["batch_norms"] == {"recomputed": 5, "training_images": 120}

    mean = weights(finished / "averaged")
    parts = [weights(prefix) for prefix in epochs]
    assert mean.keys() == parts[0].keys()
    for name, array in mean.items():
        if not is_statistic(name):
            np.testing.assert_allclose(array, np.mean([part[name] for part in parts], axis=0), rtol=1e-5, atol=1e-7)
    assert any(np.abs(mean[name] - parts[-1][name]).max() > 1e-4 for name in mean if not is_statistic(name))

    # What is said of the weights is what an evaluation says of the file.
    evaluated = run("eval", "-c", trained / "recipe.yaml", "-o", f"Global.pretrained_model={finished / 'averaged'}")
    assert json.loads(evaluated.stdout)["top1"] == result["results"]["averaged"]["top1"]
    assert f"averaged top1 {result['results']['averaged']['top1']:.5f}" in done.stderr
    assert not list(finished.glob(".averaged*"))


def test_statistics_are_those_of_all_training_images(finished):
    config = run_dir.load_recipe_of_checkpoint(finished / "latest", ["DataLoader.Eval.sampler.batch_size=50"])
    model = build_model(config)
    load_weights(model, weights(finished / "latest"))
    norms = batch_norm.norms_of(model)
    inputs = []
    hook = norms[0].register_forward_pre_hook(lambda layer, given: inputs.append(np.asarray(given[0])))
    with batch_norm.open_training_images(config) as loader:
        assert len(loader) == 3  # 50, 50 and 20 images
        assert batch_norm.recompute(config, model, norms, loader) == 120
    hook.remove()
    values = np.concatenate(inputs).astype(np.float64)
    axes = (0, 1, 2) if values.shape[-1] == int(norms[0]._mean.size) else (0, 2, 3)
    np.testing.assert_allclose(np.asarray(norms[0]._mean), values.mean(axes), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.asarray(norms[0]._variance), values.var(axes), rtol=1e-4, atol=1e-5)
    assert not norms[0].training
    assert norms[0]._momentum == 0.9


def test_frozen_batch_norms_keep_their_statistics(finished):
    config = run_dir.load_recipe_of_checkpoint(finished / "latest")
    model = build_model(config)
    assert len(batch_norm.norms_of(model)) == 5
    assert len(batch_norm.norms_of(model, ["stem"])) == 4


def test_training_images_are_prepared_as_for_evaluation_and_mixed(finished):
    config = run_dir.load_recipe_of_checkpoint(finished / "latest")
    with batch_norm.open_training_images(config) as loader:
        batches = [batch.indices for batch in loader.epoch(0)]
        first = next(iter(loader.epoch(0)))
    indices = np.concatenate(batches)
    assert sorted(indices) == list(range(120))
    assert list(indices) != list(range(120))
    # Training would pad and crop at random.
    with build_loader(config, "Eval", loader.dataset) as expected:
        images = np.concatenate([batch.images for batch in expected.epoch(0)])
    np.testing.assert_array_equal(first.images, images[first.indices])


def test_a_worse_average_is_not_kept(finished, other, run, tmp_path):
    """Weights from different beginnings have no useful average."""
    paths = [finished / "best_model.pdparams", other / "best_model"]
    done = run("average", *paths, "--out", tmp_path / "soup")
    result = json.loads(done.stdout)
    values = {name: found["top1"] for name, found in result["results"].items()}
    assert values[str(finished / "best_model")] > values["averaged"]
    assert result["kept"] is None
    assert "not kept, because other weights are better" in done.stderr
    assert not list(tmp_path.glob("soup*"))
    kept = run("average", *paths, "--out", tmp_path / "soup", "--keep")
    assert json.loads(kept.stdout)["kept"] == str(tmp_path / "soup")
    assert "kept by --keep, although other weights are better" in kept.stderr
    assert (tmp_path / "soup.pdparams").is_file()


def test_an_average_is_used_and_not_resumed(finished, digits, recipe, run):
    run("average", finished, "--keep")
    answered = run("infer", finished / "averaged.pdparams", digits / "val" / "000.png")
    assert json.loads(answered.stdout)[0]["label_names"][0].startswith("digit-")
    changes = [f"Global.checkpoints={finished / 'averaged'}", f"Global.output_dir={finished.parent / 'next'}"]
    refused = run("train", "-c", recipe, "-o", *changes, code=2)
    assert "it is an average of checkpoints" in refused.stderr
    trained_on = [f"Global.pretrained_model={finished / 'averaged'}", "Global.epochs=1"]
    run("train", "-c", recipe, "-o", *trained_on, f"Global.output_dir={finished.parent / 'next'}")


def test_a_new_run_takes_the_average_out_of_the_way(finished, recipe, run):
    checkpoint.link_checkpoint(finished / "latest", finished / "averaged")
    run("train", "-c", recipe, "-o", "Global.epochs=1", f"Global.output_dir={finished}")
    assert (finished / "previous_1" / "averaged.pdparams").is_file()
    assert not (finished / "averaged.pdparams").exists()


def test_too_few_checkpoints(finished, run):
    done = run("average", finished, "--last", "5", code=2)
    assert "5 epoch_N checkpoints are needed, and there are 3: epoch_8, epoch_9, epoch_10" in done.stderr
    assert "Global.save_interval=1 Global.keep_checkpoints=5; of this one: --last 3" in done.stderr
    assert "two checkpoints" in run("average", finished, "--last", "1", code=2).stderr
    assert "no such run folder, checkpoint" in run("average", finished.parent / "none", code=2).stderr
    assert "one checkpoint" in run("average", finished / "latest", code=2).stderr


def test_different_models_have_no_average(finished, recipe, run):
    folder = recipe.parent / "small"
    run("train", "-c", recipe, "-o", "Global.epochs=1", "Arch.dim=8", f"Global.output_dir={folder}")
    done = run("average", finished / "latest", folder / "latest", code=2)
    assert "different architectures" in done.stderr


def test_damage_is_found(finished, run):
    path = finished / "epoch_9.pdparams"
    content = bytearray(path.read_bytes())
    path.unlink()  # a hard link of another
    content[-20] ^= 1
    path.write_bytes(content)
    assert "epoch_9.pdparams: damaged" in run("average", finished, code=2).stderr
