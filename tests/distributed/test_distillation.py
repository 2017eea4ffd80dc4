"""Two processes train two models together as one process does."""

import pytest
import yaml

from tests.distributed.jobs import CLOSE, PART, largest_difference
from tests.helpers.distillation import write_mutual

pytestmark = pytest.mark.slow


def test_mutual_learning_equals_one_process(recipe, pair, run, tmp_path):
    """Batches of 16 and one of 1 image, which only one process has; groups of 3 batches."""
    path = write_mutual(recipe, yaml.safe_load(recipe.read_text())["Arch"])
    changes = ("Global.update_freq=3", "EMA.decay=0.5")
    run("train", "-c", path, "-o", *changes, "Global.output_dir=one")
    pair("train", path, *changes, PART, "Global.output_dir=two").finish()
    for name in ("latest.pdparams", "latest_raw.pdparams", "latest_peers.pdparams"):
        assert largest_difference(tmp_path / "one", tmp_path / "two", name) < CLOSE
