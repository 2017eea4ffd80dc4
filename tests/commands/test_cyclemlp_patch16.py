"""The commands of https://github.com/justld/CycleMlp_paddle, on small images and a small model."""

import json
import re
import shlex

import pytest

from tests.helpers.recipes import ROOT

FOLDER = ROOT / "ppcls" / "configs" / "ImageNet" / "CycleMLP"


@pytest.fixture
def small(digits):
    """Return the changes of the recipe."""
    return [
        *("Global.device=cpu", "Global.image_shape=[3,32,32]", "Global.epochs=2", "Global.print_batch_step=2"),
        *("Arch.class_num=10", "Arch.layers=[1,1]", "Arch.embed_dims=[16,32]", "Arch.mlp_ratios=[2,2]"),
        *("DataLoader.Train.dataset.transform_ops.1.RandCropImage.size=32", "DataLoader.Train.loader.num_workers=0"),
        *(
            "DataLoader.Train.dataset.transform_ops.3.TimmAutoAugment.img_size=32",
            "DataLoader.Eval.loader.num_workers=0",
        ),
        *("DataLoader.Eval.dataset.transform_ops.1.ResizeImage.resize_short=36", "Optimizer.lr.warmup_epoch=1"),
        *("DataLoader.Eval.dataset.transform_ops.2.CropImage.size=32", "DataLoader.Train.sampler.batch_size=32"),
        *("Infer.transforms.1.ResizeImage.resize_short=36", "Infer.transforms.2.CropImage.size=32"),
        f"DataLoader.Train.dataset.image_root={digits}",
        f"DataLoader.Train.dataset.cls_label_path={digits}/train_list.txt",
        f"DataLoader.Eval.dataset.image_root={digits}",
        f"DataLoader.Eval.dataset.cls_label_path={digits}/val_list.txt",
    ]


def test_the_three_stages_write_into_one_folder_with_the_older_log_lines(small, run, tmp_path):
    out = tmp_path / "output" / "CycleMLP_B1"
    recipe = FOLDER / "CycleMLP_patch16_224.yaml"
    run("train", "-c", recipe, "-o", *small, "-o", "Global.epochs=1")
    assert {"latest.pdparams", "best_model.pdparams", "train.log"} <= {path.name for path in out.iterdir()}
    assert [path.name for path in (tmp_path / "output").iterdir()] == ["CycleMLP_B1"]
    number = r"\d+\.\d{5}"
    line = (
        rf"INFO: \[Train\]\[Epoch 1/1\]\[Iter: 2/4\]lr: 0\.000\d\d, CELoss: {number}, loss: {number}, "
        rf"batch_cost: {number}s, reader_cost: {number}, ips: {number} images/sec, eta: 0:00:\d\d\n"
    )
    assert re.search(line, (out / "train.log").read_text())

    latest = "Global.checkpoints=output/CycleMLP_B1/latest"
    run("train", "-c", recipe, "-o", *small, "-o", latest)
    assert "[Train][Epoch 2/2]" in (out / "train.log").read_text()

    finetune = ["train", "-c", FOLDER / "CycleMLP_patch16_224_1.yaml", "-o", *small, "-o", latest]
    run(*finetune, "-o", "Global.epochs=3")
    log = (out / "train.log").read_text()
    assert re.findall(r"\[Train\]\[Epoch 3/3\]\[Iter: \d/4\]lr: (\S+),", log) == ["0.00001", "0.00001"]
    assert "Already save model in output/CycleMLP_B1/latest" in log


def test_evaluation_with_images_says_how_to_predict(small, digits, run, tmp_path):
    recipe = FOLDER / "CycleMLP_patch16_224.yaml"
    run("train", "-c", recipe, "-o", *small, "-o", "Global.epochs=1")
    weights = tmp_path / "output" / "stage2" / "weight"
    weights.mkdir(parents=True)
    (tmp_path / "output" / "CycleMLP_B1" / "best_model.pdparams").rename(weights / "best_model.pdparams")
    options = ["-c", recipe, "-o", "Global.pretrained_model=output/stage2/weight/best_model"]
    images = ["-o", f"Infer.infer_imgs={digits}/val/000.png"]
    done = run("eval", *options, *images, "-o", *small)
    assert set(json.loads(done.stdout)) == {"CELoss", "loss", "top1", "top5"}
    (command,) = re.findall(r"To predict, type: python tools/infer\.py (.*)", done.stderr)
    predicted = run("infer", *shlex.split(command))
    assert [answer["file_name"] for answer in json.loads(predicted.stdout)] == [f"{digits}/val/000.png"]
    assert (tmp_path / "output" / "CycleMLP_B1" / "predictions.json").exists()


def test_a_layout_needs_no_second_folder_for_stages(recipe, run):
    stages = "Stages=[{name: one}, {name: two, override: {Global.epochs: 1}}]"
    done = run("train", "-c", recipe, "-o", stages, "Global.output_layout=arch", code=2)
    assert "Global.output_layout: arch: a recipe with Stages has one folder per stage" in done.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("Global.log_format=2.2", "Global.log_format: must be '2.4' or '2.3', not 2.2"),
        ("Global.output_layout=nested", "Global.output_layout: must be 'flat' or 'arch', not 'nested'"),
    ],
)
def test_wrong_values_are_refused(recipe, run, change, message):
    assert message in run("config", "-c", recipe, "-o", change, code=2).stderr


def test_the_format_may_be_written_as_a_number(recipe, run):
    assert 'log_format: "2.3"' in run("config", "-c", recipe, "-o", "Global.log_format=2.3").stdout
