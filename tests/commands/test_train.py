"""``ppcls train``: recipes that are refused before any work."""

import pytest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["DataLoader.Train.dataset.cls_label_path=nothing.txt"], "DataLoader.Train: cls_label_path: nothing.txt"),
        (["DataLoader.Train.dataset.image_root=nowhere"], "DataLoader.Train: image_root: nowhere"),
        (["Arch.class_num=3", "Metric.Eval.0.TopkAcc.topk=[1]"], "class_num"),
        (["Arch.class_num=4"], "Arch.class_num: is 4, and DataLoader.Train has 10 classes"),
        (["Global.output_dir=/dev/null/x"], "Global.output_dir=/dev/null/x: cannot be written to"),
        (["Global.device=gpu"], "Global.device=gpu: not usable here"),
        (["Global.checkpoints=out/nothing"], "checkpoint out/nothing"),
        (["Global.pretrained_model=out/nothing"], "out/nothing"),
        (["AMP.dtype=float8"], "AMP.dtype: must be 'auto', 'float16' or 'bfloat16'"),
        (["Global.epochs=null"], "Global.epochs: missing"),
        (["Optimizer=null"], "Optimizer: missing"),
        (["DataLoader.Eval=null"], "DataLoader.Eval: missing"),
        (["DataLoader.Train=null"], "DataLoader.Train: missing"),
        (["Arch.patch_size=64"], "patch"),
    ],
)
def test_bad_recipes_end_with_code_2_before_training(recipe, run, changes, message):
    done = run("train", "-c", recipe, "-o", *changes, code=2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert "[Train]" not in done.stderr


def test_debug_shows_the_traceback(recipe, run):
    done = run("train", "-c", recipe, "--debug", "-o", "Global.epochs=null", code=1)
    assert "Traceback" in done.stderr
