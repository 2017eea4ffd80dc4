"""A recipe with the transforms of paddle.vision, through all commands."""

import json

import cv2
import numpy as np
import yaml

from tests.helpers.runs import train


def test_a_recipe_with_to_tensor_and_normalize(recipe, digits, run, tmp_path):
    values = yaml.safe_load(recipe.read_text())
    normalize = [{"ToTensor": None}, {"Normalize": {"mean": [0.5] * 3, "std": [0.5] * 3}}]
    train_side, eval_side = (values["DataLoader"][side]["dataset"] for side in ("Train", "Eval"))
    train_side["transform_ops"] = [
        {"DecodeImage": {}},
        {"RandomResizedCrop": {"size": 16, "scale": [0.5, 1.0]}},
        {"RandomHorizontalFlip": {"prob": 0.5}},
        *normalize,
        {"RandomErasing": {"EPSILON": 1.0}},
    ]
    eval_side["transform_ops"] = [{"DecodeImage": {}}, {"ResizeImage": {"size": 16, "return_numpy": False}}, *normalize]
    train_side["batch_transform_ops"] = [
        {"MixupCutmixHybrid": {"mixup_alpha": 0.8, "cutmix_alpha": 1.0, "switch_prob": 0.5, "num_classes": 10}}
    ]
    recipe.write_text(yaml.safe_dump(values))
    assert "ToCHWImage" not in run("config", "-c", recipe).stdout  # ToTensor has changed the layout
    train(recipe, "Global.epochs=1")
    weights = ["-o", "Global.pretrained_model=out/best_model"]
    assert '"top1"' in run("eval", "-c", recipe, *weights).stdout
    image = f"Infer.infer_imgs={digits}/val"
    by_checkpoint = json.loads(run("infer", "-c", recipe, *weights, image).stdout)
    run("export", "-c", recipe, *weights)
    by_export = json.loads(run("infer", "inference", digits / "val").stdout)
    assert [one["class_ids"] for one in by_export] == [one["class_ids"] for one in by_checkpoint]
    # Pixels are shown as they are.
    run("show-data", "-c", recipe, "--split", "Eval", "--out", tmp_path / "sheet.png", "-n", "1")
    shown = cv2.imread(str(tmp_path / "sheet.png"))
    pixels = cv2.imread(str(digits / "val/000.png")).repeat(6, 0).repeat(6, 1)
    np.testing.assert_array_equal(shown[4 : 4 + 96, 4 : 4 + 96], pixels)
