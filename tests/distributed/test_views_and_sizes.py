"""Two processes compute what one does with several images of each sample, and with batches of several sizes."""

import pytest
import yaml

from tests.distributed.jobs import CLOSE, largest_difference
from tests.helpers.runs import records, train

pytestmark = pytest.mark.slow

CHANGES = {
    "transform_ops": [
        {"DecodeImage": {}},
        {"RandCropImage": {"size": 16}},
        {"AugMix": {"splits": 3, "prob": 1}},
        {"NormalizeImage": {"order": ""}},
    ],
    "sampler": {"name": "MultiScaleSampler", "scales": [16, 8], "first_bs": 16, "divided_factor": 8},
    # Without batch norm, whose statistics differ by process.
    "arch": {"name": "CycleMLP", "class_num": 10, "layers": [1, 1], "embed_dims": [16, 24], "mlp_ratios": [2, 2]},
}


def test_several_views_and_sizes_equal_one_process(recipe, pair, tmp_path):
    """113 images: batches of 16 and 64, of which the last is incomplete; groups of two batches."""
    values = yaml.safe_load(recipe.read_text())
    values["Arch"] = CHANGES["arch"]
    values["Global"]["update_freq"] = 2
    values["DataLoader"]["Train"]["dataset"]["transform_ops"] = CHANGES["transform_ops"]
    values["DataLoader"]["Train"]["sampler"] = CHANGES["sampler"]
    values["Loss"] = {"Train": [{"JSDCrossEntropy": None}], "Eval": [{"CELoss": None}]}
    recipe.write_text(yaml.safe_dump(values))
    train(recipe, "Global.output_dir=one")
    pair("train", recipe, "DataLoader.Train.sampler.first_bs=8", "Global.output_dir=two").finish()
    one, two = tmp_path / "one", tmp_path / "two"
    assert largest_difference(one, two) < CLOSE
    first, second = records(one)[-1], records(two)[-1]
    assert first.keys() == second.keys()
    for key, value in first.items():
        assert second[key] == (pytest.approx(value, rel=1e-4, abs=1e-5) if isinstance(value, float) else value), key
