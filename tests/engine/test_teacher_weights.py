"""The weights of teachers: which of a file, and for which classes."""

import pickle
import shutil

import pytest
import yaml

from ppcls.weights import restricted_load
from tests.helpers.distillation import TEACHER, write_distillation
from tests.helpers.runs import records


@pytest.mark.parametrize("inline", ["models", "teacher"])
def test_weights_that_are_one_of_several_in_a_file(recipe, trained, run, tmp_path, inline):
    """The one that ``weights_key`` names teaches: with the other one, the loss is another."""
    shutil.copy(trained / "out" / "best_model.pdparams", tmp_path / "alone.pdparams")
    arrays = restricted_load(tmp_path / "alone.pdparams")
    zeros = {key: array * 0 for key, array in arrays.items()}
    (tmp_path / "two.pdparams").write_bytes(pickle.dumps({"ema": zeros, "model": arrays}, protocol=4))
    if inline == "models":
        path, place = write_distillation(recipe), "Arch.models.0.Teacher"
    else:
        path, place = recipe, "Distillation.teacher"
        values = yaml.safe_load(path.read_text())
        path.write_text(yaml.safe_dump({**values, "Distillation": {"teacher": {**TEACHER, "pretrained": "x"}}}))
    losses = {}
    for name, changes in {
        "alone": ["pretrained=alone.pdparams"],
        "model": ["pretrained=two.pdparams", "weights_key=model"],
        "ema": ["pretrained=two.pdparams"],
    }.items():
        options = ("Global.epochs=1", f"Global.output_dir={name}", *(f"{place}.{change}" for change in changes))
        run("train", "-c", path, "-o", *options)
        losses[name] = records(tmp_path / name)[0]["loss"]
    assert losses["alone"] == losses["model"] != losses["ema"]
