"""Exports: small models of each family to make them of, and what to do with a finished one."""

import shutil

import cv2
import numpy as np
import yaml

import ppcls
from tests.helpers.recipes import write_recipe

FAMILIES = {
    "ConvMLP": {"blocks": [1, 1], "dims": [16, 24], "mlp_ratios": [2, 2], "channels": 8, "conv_blocks": 1},
    "ConvMixer": {"dim": 16, "depth": 2, "kernel_size": 3, "patch_size": 4},
    "gMLP": {"dim": 16, "depth": 2, "mlp_ratio": 4, "patch_size": 4, "image_size": 16},
    "CycleMLP": {"layers": [1, 1], "embed_dims": [16, 24], "mlp_ratios": [2, 2]},
}


def randomized(model, images):
    """Give a model batch-norm statistics as after training, and answers that differ from image to image."""
    import paddle

    rng = np.random.default_rng(0)
    for layer in model.sublayers():
        if isinstance(layer, paddle.nn.BatchNorm2D):
            for tensor in (layer.weight, layer.bias):
                tensor.set_value(rng.uniform(0.2, 1.5, tensor.shape).astype("float32"))
    with paddle.no_grad():
        for _ in range(30):
            model(paddle.to_tensor(images))
    model.eval()
    model.head.weight.set_value(rng.normal(size=model.head.weight.shape).astype("float32"))
    logits = model(paddle.to_tensor(images)).numpy()
    scale = 2 / logits.std(axis=0).mean()
    model.head.weight.set_value(model.head.weight.numpy() * scale)
    model.head.bias.set_value((model.head.bias.numpy() - logits.mean(axis=0)) * scale)
    return model


def prepared(family, digits, folder, **changes):
    """Return the recipe of a family, with weights for it, that exports to ``folder / "model"``."""
    import paddle

    path = write_recipe(digits, folder)
    values = yaml.safe_load(path.read_text())
    values["Arch"] = {"name": family, "class_num": 10, **FAMILIES[family]}
    values["Global"].update(pretrained_model=f"{folder}/weights", save_inference_dir=f"{folder}/model")
    values["Infer"] = {"PostProcess": {"class_id_map_file": f"{digits}/labels.txt"}}
    path.write_text(yaml.safe_dump(values))
    paddle.seed(1)
    pictures = np.stack([cv2.imread(str(path)) for path in sorted((digits / "val").iterdir())])
    images = np.ascontiguousarray(pictures.transpose(0, 3, 1, 2), dtype=np.float32) / 127.5 - 1
    model = randomized(ppcls.create_model(family, class_num=10, **FAMILIES[family]), images)
    paddle.save(model.state_dict(), f"{folder}/weights.pdparams")
    return ppcls.load_config(path, [f"{key}={value}" for key, value in changes.items()])


def changed(models, folder, change):
    """Return a copy of the export whose description was changed."""
    shutil.copytree(models / "inference", folder)
    values = yaml.safe_load((folder / "inference.yml").read_text())
    change(values)
    (folder / "inference.yml").write_text(yaml.safe_dump(values))
    return folder


def answers(model, pictures):
    """Return what a Predictor says of pictures."""
    return ppcls.Predictor(str(model)).predict([str(picture) for picture in pictures])


def assert_same_answers(found, expected):
    """Check that two lists of answers name the same classes with the same scores, and the same broken images."""
    for key in ("error", "class_ids", "label_names"):
        assert [answer.get(key) for answer in found] == [answer.get(key) for answer in expected]
    scores = [[answer["scores"] for answer in side if "scores" in answer] for side in (found, expected)]
    np.testing.assert_allclose(*scores, rtol=0, atol=1.01e-5)  # 1e-5, and what rounding to five digits can add
