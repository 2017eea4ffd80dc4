"""Training, evaluation and the data tools on tar shards."""

import json
import re
import tarfile

from tests.helpers.recipes import on_shards


def test_training_stopped_in_an_epoch_and_continued_equals_uninterrupted(recipe, run, tmp_path):
    folder = on_shards(recipe, tmp_path / "shards")
    run("train", "-c", recipe, "-o", "Global.output_dir=calm")
    shard = folder / "train-000004.tar"
    good = shard.read_bytes()
    with tarfile.open(shard) as archive:
        place = archive.getmembers()[-2].offset
    shard.write_bytes(good[:place] + b"?" + good[place + 1 :])
    done = run("train", "-c", recipe, "-o", "DataLoader.Train.loader.num_workers=2", code=2)
    assert re.search(r"train-000004.tar:\w+\.png: no member of the tar file begins at byte", done.stderr)
    assert "Traceback" not in done.stderr
    position = json.loads((tmp_path / "out" / "latest.pdstates").read_text())
    assert position["batch"] > 0
    shard.write_bytes(good)
    resume = re.search(r"-o (Global\.checkpoints=\S+)", done.stderr).group(1)
    run("train", "-c", recipe, "-o", resume, "DataLoader.Train.loader.num_workers=1")
    for name in ("latest.pdparams", "latest.pdopt"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "calm" / name).read_bytes(), name


def test_the_data_tools_and_evaluation_take_shards(recipe, run, tmp_path):
    on_shards(recipe, tmp_path / "shards")
    run("check-data", "-c", recipe, "--out", "report", code=None)
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["images"] == {"Train": 120, "Eval": 40}
    assert not report["problems"].get("broken")
    run("show-data", "-c", recipe, "-n", 4, "--out", "data.png")
    assert (tmp_path / "data.png").is_file()
    run("train", "-c", recipe, "-o", "Global.epochs=1")
    weights = f"Global.pretrained_model={tmp_path}/out/latest"
    assert "top1" in json.loads(run("eval", "-c", recipe, "-o", weights).stdout)


def test_validation_shards_among_the_training_shards(recipe, run, tmp_path):
    on_shards(recipe, tmp_path / "shards")
    everything = "DataLoader.Train.dataset.shards=*.tar"
    done = run("train", "-c", recipe, "-o", everything, code=2)
    assert "val-000000.tar and 1 more are in DataLoader.Train and in DataLoader.Eval" in done.stderr
    assert "Traceback" not in done.stderr
    run("train", "-c", recipe, "-o", everything, "Global.eval_during_train=false", "Global.epochs=1")
