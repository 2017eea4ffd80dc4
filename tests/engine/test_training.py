"""Training as a real process on real pictures."""

import json
import re

from tests.helpers.runs import digests, records


def test_a_run_leaves_checkpoints_logs_and_curves(recipe, run):
    run("train", "-c", recipe, "-o", "Global.use_visualdl=true")
    out = recipe.parent / "out"
    names = {p.name for p in out.iterdir()}
    for prefix in ("latest", "best_model", "epoch_1", "epoch_2"):
        assert {f"{prefix}.pdparams", f"{prefix}.pdopt", f"{prefix}.pdstates"} <= names
    assert {"train.log", "metrics.jsonl", "config.yaml", "vdl"} <= names
    assert list((out / "vdl").iterdir())
    log = (out / "train.log").read_text()
    number = r"\d+\.\d+"
    for pattern in (
        rf"\[Train\]\[Epoch 1/2\]\[Iter: 2/8\]lr\(Cosine\): 0\.\d{{8}}, top1: {number}, "
        rf"CELoss: {number}, loss: {number}, "
        rf"batch_cost: {number}s, reader_cost: {number}, ips: {number} samples/s, eta: \d+:\d\d:\d\d",
        rf"\[Train\]\[Epoch 2/2\]\[Avg\]top1: {number}, CELoss: {number}, loss: {number}",
        rf"\[Eval\]\[Epoch 2\]\[Avg\]CELoss: {number}, loss: {number}, top1: {number}, top5: {number}",
        rf"\[Eval\]\[Epoch 2\]\[best metric: {number}\]",
        rf"ppcls INFO: Already save model in {out}/latest\n",
        rf"ppcls INFO: Already save model in {out}/best_model\n",
        rf"ppcls INFO: Already save model in {out}/epoch_2\n",
        r"CPU threads: \d+ \(set by the user with OMP_NUM_THREADS\)",
    ):
        assert re.search(pattern, log), pattern
    kinds = [record["kind"] for record in records(out)]
    assert kinds.count("eval") == 2
    assert kinds.count("train") == 10  # eight log lines, and the ends of two epochs
    states = json.loads((out / "best_model.pdstates").read_text())
    assert states["class_names"] == [f"digit-{i}" for i in range(10)]


def test_the_saved_recipe_gives_the_same_run(recipe, run):
    run("train", "-c", recipe)
    out = recipe.parent / "out"
    first = digests(out)
    run("train", "-c", out / "config.yaml", "-o", "Global.output_dir=again")
    assert digests(recipe.parent / "again") == first


def test_accumulation_makes_fewer_updates_and_the_last_group_may_be_smaller(recipe, run):
    run("train", "-c", recipe, "-o", "Global.epochs=2", "Global.update_freq=3")
    records_ = [record for record in records(recipe.parent / "out") if record["kind"] == "eval"]
    assert [record["step"] for record in records_] == [3, 6]  # 8 batches: groups of 3, 3 and 2


def test_a_loss_that_is_not_finite_stops_the_run(recipe, run):
    changes = ("Optimizer.lr.learning_rate=1e30", "Optimizer.name=SGD", "Global.print_batch_step=1")
    done = run("train", "-c", recipe, "-o", *changes, code=2)
    assert re.search(r"the loss is (nan|inf) at epoch \d, batch \d+/8", done.stderr)
    assert "Optimizer.clip_norm" in done.stderr
    assert not (recipe.parent / "out" / "latest.pdparams").exists()


def test_a_warm_up_longer_than_the_run_is_shortened_and_said(recipe, run):
    done = run("train", "-c", recipe, "-o", "Global.epochs=1", "Optimizer.lr.warmup_epoch=5")
    assert "warmup_epoch is 5, and Global.epochs is 1" in done.stderr
    assert json.loads(done.stdout)["epoch"] == 1


def test_names_that_spare_nothing_from_decay_are_said(recipe, run):
    name = "Optimizer.no_weight_decay_name=head.bias pos_embed"
    done = run("train", "-c", recipe, "-o", "Global.epochs=1", name)
    assert "no parameter has 'pos_embed' in its name" in done.stderr
    assert "'head.bias'" not in done.stderr
