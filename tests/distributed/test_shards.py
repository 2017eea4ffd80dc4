"""Two processes that train on shards compute what one does."""

import yaml

from ppcls.data.packing import Settings, pack
from tests.distributed.conftest import CLOSE, PART, largest_difference


def test_training_on_shards_equals_one_process(recipe, job, tmp_path):
    values = yaml.safe_load(recipe.read_text())
    for side, prefix in (("Train", "train"), ("Eval", "val")):
        dataset = values["DataLoader"][side]["dataset"]
        settings = Settings(dataset["image_root"], dataset.pop("cls_label_path"), prefix=prefix, shard_samples=20)
        pack(settings, tmp_path / "shards", workers=1)
        dataset.update(name="ShardDataset", image_root=str(tmp_path / "shards"), shards=f"{prefix}-*.tar")
    values["DataLoader"]["Train"]["sampler"].update(name="ShardBatchSampler", streams=4, buffer_size=8)
    recipe.write_text(yaml.safe_dump(values))
    for index in (tmp_path / "shards").glob("*.tsv"):
        index.unlink()  # both processes make them at once
    job("train", recipe, PART, "Global.output_dir=two", "DataLoader.Train.loader.num_workers=2").finish()
    assert len(list((tmp_path / "shards").glob("*.idx.tsv"))) == 6 + 2
    job("train", recipe, "Global.output_dir=one", processes=1).finish()
    assert largest_difference(tmp_path / "one", tmp_path / "two") < CLOSE
