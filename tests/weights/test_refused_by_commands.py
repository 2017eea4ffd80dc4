"""Weights that no command takes."""

import os
import pickle

import numpy as np
import pytest

from ppcls.weights import restricted_load
from tests.helpers.recipes import write_staged


@pytest.mark.parametrize("command", ["eval", "infer", "export"])
def test_random_weights_are_refused(trained, digits, run, command):
    done = run(command, "-c", trained / "recipe.yaml", "-o", f"Infer.infer_imgs={digits}/val", code=2)
    assert "no weights to" in done.stderr
    assert "Global.pretrained_model" in done.stderr


def test_weights_with_code_in_them_are_refused_and_not_run(trained, run, tmp_path):
    class Attack:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "owned"),))

    (tmp_path / "evil.pdparams").write_bytes(pickle.dumps({"head.weight": Attack()}))
    recipe = trained / "recipe.yaml"
    for command in ("eval", "export", "train"):
        change = f"Global.pretrained_model={tmp_path}/evil"
        done = run(command, "-c", recipe, "-o", change, f"Global.output_dir={tmp_path}/out", code=2)
        assert "evil.pdparams" in done.stderr
    assert not (tmp_path / "owned").exists()


def test_weights_with_nan_are_refused_by_every_command(trained, run, digits, tmp_path):
    state = restricted_load(trained / "out/best_model.pdparams")
    state["head.bias"][3] = np.nan
    state["stem.conv.weight"][0] = np.inf
    path = tmp_path / "nan.pdparams"
    path.write_bytes(pickle.dumps(state, protocol=4))
    weights = ["-o", f"Global.pretrained_model={path}", f"Infer.infer_imgs={digits}/val"]
    weights += [f"Global.output_dir={tmp_path}/out", f"Global.save_inference_dir={tmp_path}/export"]
    for command in ("train", "eval", "infer", "export"):
        done = run(command, "-c", trained / "recipe.yaml", *weights, code=2)
        assert (
            f"nan.pdparams: 2 of {len(state)} tensors have numbers that are not finite (NaN or infinity): "
            in done.stderr
        )
        assert "head.bias (1 of 10 numbers)" in done.stderr
        assert not done.stdout
    assert not (tmp_path / "export").exists()
    done = run("convert", path, tmp_path / "x.pth", code=2)
    assert "2 of " in done.stderr
    assert not (tmp_path / "x.pth").exists()


def test_what_is_said_of_weights_where_there_are_none(recipe, run):
    for option, key in (
        (["--weights-key", "nope"], "weights_key"),
        (["--weights-image-size", "16"], "weights_image_size"),
    ):
        done = run("train", "-c", recipe, *option, code=2)
        assert f"Global.{key}: describes weights, and none are named; give them with -o Global.pre" in done.stderr
        done = run("train", "-c", recipe, *option, "-o", "Global.checkpoints=auto", code=2)
        assert f"Global.{key}: describes weights, and none are named" in done.stderr


def test_weights_in_place_of_arch_pretrained(trained, run, tmp_path):
    """Those of Global come first, and the log says so where the command line names both."""
    recipe = ["-c", trained / "recipe.yaml"]
    weights = f"Global.pretrained_model={trained}/out/best_model"
    expected = run("eval", *recipe, "-o", weights)
    assert "is not used" not in expected.stderr
    other = tmp_path / "zeros.pdparams"
    state = restricted_load(trained / "out/best_model.pdparams")
    other.write_bytes(pickle.dumps({name: array * 0 for name, array in state.items()}, protocol=4))
    done = run("eval", *recipe, "-o", weights, f"Arch.pretrained={other}")
    assert done.stdout == expected.stdout
    line = f"-o Arch.pretrained={other}"[:77]
    warnings = [line_of for line_of in done.stderr.splitlines() if "WARNING" in line_of]
    assert sum(line in warning for warning in warnings) == 1
    assert f"Arch.pretrained is not used: Global.pretrained_model comes first (-o {weights}"[:120] in done.stderr
    assert run("eval", *recipe, "-o", f"Arch.pretrained={other}").stdout != expected.stdout


def test_a_copy_with_numbers_that_are_none(trained, run, tmp_path):
    state = restricted_load(trained / "out/best_model.pdparams")
    broken = {**state, "head.bias": state["head.bias"] * np.nan}
    path = tmp_path / "two.pdparams"
    path.write_bytes(pickle.dumps({"model": state, "model_ema": broken}, protocol=4))
    given = ["eval", "-c", trained / "recipe.yaml", "-o", f"Global.pretrained_model={path}"]
    done = run(*given, code=2)
    assert "This is model_ema (32 tensors); the file also holds model (32 tensors): choose with Gl" in done.stderr
    assert run(*given, "--weights-key", "model").stdout
    assert "the file also holds" not in run(*given, "--weights-key", "model_ema", code=2).stderr


def test_a_key_chooses_in_every_command(trained, run, digits, tmp_path):
    state = restricted_load(trained / "out/best_model.pdparams")
    path = tmp_path / "two.pdparams"
    path.write_bytes(pickle.dumps({"ema": {n: a * 0 for n, a in state.items()}, "model": state}, protocol=4))
    recipe = ["-c", trained / "recipe.yaml", "-o", f"Infer.infer_imgs={digits}/val/000.png", "Global.epochs=1"]
    recipe += [f"Global.output_dir={tmp_path}/out", f"Global.save_inference_dir={tmp_path}/export"]
    expected = run("eval", *recipe, f"Global.pretrained_model={trained}/out/best_model").stdout
    given = [*recipe, f"Global.pretrained_model={path}"]
    assert run("eval", *given, "--weights-key", "model").stdout == expected
    assert run("eval", *given, "Global.weights_key=model").stdout == expected
    done = run("eval", *given)
    assert done.stdout != expected
    assert "took ema (32 tensors), not model (32 tensors)" in done.stderr
    for command in ("train", "infer", "export"):
        done = run(command, *given, "--weights-key", "model")
        assert "loaded 32 tensors (ppcls names) of model" in done.stderr
        done = run(command, *given, "--weights-key", "teacher", code=2)
        assert "there is no 'teacher'" in done.stderr
        assert "ema (32 tensors), model (32 tensors); choose with Global.weights_key (--weights-key)" in done.stderr
    arguments = [f"--argument={key}" for key in ("dim=16", "depth=2", "kernel_size=3", "patch_size=4")]
    done = run("convert", path, tmp_path / "x.pdparams", "--weights-key", "teacher", *arguments, code=2)
    assert done.stderr.rstrip().endswith("model (32 tensors); choose with --weights-key")
    run("convert", path, tmp_path / "x.pdparams", "--weights-key", "model", "--model", "ConvMixer", *arguments)
    converted = restricted_load(tmp_path / "x.pdparams")
    for name, array in state.items():
        np.testing.assert_array_equal(converted[name], array)
    # The run that began with them has weights of its own.
    done = run("eval", "-c", tmp_path / "out/config.yaml", "-o", f"Global.pretrained_model={tmp_path}/out/latest")
    assert "Global.weights_key" in done.stderr
    assert "is not used" in done.stderr
    run("infer", tmp_path / "out", digits / "val/000.png")
    for command in (["eval", *recipe, "--model", tmp_path / "export"], ["infer", tmp_path / "export", digits / "val"]):
        assert "--weights-key" in run(*command, "--weights-key", "model", code=2).stderr


def test_of_several_stages_the_key_is_about_the_first(trained, digits, run, tmp_path):
    """The next one starts from a checkpoint of the first, which has no other copies."""
    state = restricted_load(trained / "out/best_model.pdparams")
    path = tmp_path / "two.pdparams"
    path.write_bytes(pickle.dumps({"ema": {n: a * 0 for n, a in state.items()}, "model": state}, protocol=4))
    recipe = write_staged(digits, tmp_path)
    options = ["-o", f"Global.pretrained_model={path}", "Global.epochs=1", "Stages.1.override.Global.epochs=1"]
    done = run("train", "-c", recipe, "--weights-key", "model", *options)
    assert "loaded 32 tensors (ppcls names) of model" in done.stderr
    assert done.stderr.count("is not used: ") == 1
    # Finished stages are recognised, and others by another key are not.
    assert "was finished before" in run("train", "-c", recipe, "--weights-key", "model", *options).stderr
    done = run("train", "-c", recipe, "--weights-key", "ema", *options, code=2)
    assert "Global.weights_key was 'model' and is 'ema'" in done.stderr
