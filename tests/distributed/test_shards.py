"""Two processes that train on shards compute what one does."""

import pytest

from tests.distributed.jobs import CLOSE, PART, largest_difference
from tests.helpers.recipes import on_shards
from tests.helpers.runs import train

pytestmark = pytest.mark.slow


def test_training_on_shards_equals_one_process(recipe, pair, tmp_path):
    folder = on_shards(recipe, tmp_path / "shards")
    for index in folder.glob("*.tsv"):
        index.unlink()  # both processes make them at once
    pair("train", recipe, PART, "Global.output_dir=two", "DataLoader.Train.loader.num_workers=2").finish()
    assert len(list(folder.glob("*.idx.tsv"))) == 6 + 2
    train(recipe, "Global.output_dir=one")
    assert largest_difference(tmp_path / "one", tmp_path / "two") < CLOSE
