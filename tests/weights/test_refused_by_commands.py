"""Weights that no command takes."""

import os

import pytest


@pytest.mark.parametrize("command", ["eval", "infer", "export"])
def test_random_weights_are_refused(trained, digits, run, command):
    done = run(command, "-c", trained / "recipe.yaml", "-o", f"Infer.infer_imgs={digits}/val", code=2)
    assert "no weights to" in done.stderr
    assert "Global.pretrained_model" in done.stderr


def test_weights_with_code_in_them_are_refused_and_not_run(trained, run, tmp_path):
    import pickle

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
