"""Class names of every layout, from the data to the checkpoint, the export and the answers."""

import json
import pickle
import shutil

import cv2
import numpy as np
import pytest
import yaml

import ppcls
from tests.helpers.recipes import write_recipe

NAMES = ["sweet pea", "daisy", "rosé"]


def images(count=18):
    """Return small pictures [N, 32, 32, 3] uint8 and their labels."""
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), np.uint8), np.arange(count) % 3


def write_list(folder):
    for index, (image, label) in enumerate(zip(*images())):
        cv2.imwrite(str(folder / f"{index}.png"), image)
        with (folder / "list.txt").open("a") as file:
            file.write(f"{index}.png {label}\n")
    (folder / "labels.txt").write_bytes("".join(f"{i} {name}\r\n" for i, name in enumerate(NAMES)).encode("utf-8-sig"))
    return {"name": "ImageNetDataset", "image_root": str(folder), "cls_label_path": str(folder / "list.txt")}, NAMES


def write_folders(folder):
    for index, (image, label) in enumerate(zip(*images())):
        (folder / NAMES[label]).mkdir(exist_ok=True)
        cv2.imwrite(str(folder / NAMES[label] / f"{index}.png"), image)
    return {"name": "ImageFolder", "image_root": str(folder), "val_fraction": 0.4}, sorted(NAMES)


def write_cifar(folder, binary, files):
    for file in files:
        pixels, labels = images()
        pixels = pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1)
        if binary:
            records = np.concatenate([labels[:, None].astype(np.uint8), pixels], axis=1)
            (folder / f"{file}.bin").write_bytes(records.tobytes())
        else:
            content = {b"data": pixels, b"labels": labels.tolist(), b"fine_labels": labels.tolist()}
            (folder / file).write_bytes(pickle.dumps(content, protocol=2))


def write_cifar10(folder):
    write_cifar(folder, True, [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"])
    (folder / "batches.meta.txt").write_text("\n".join(NAMES) + "\n\n", encoding="utf-8")
    return {"name": "Cifar10", "image_root": str(folder)}, NAMES


def write_cifar100(folder):
    write_cifar(folder, False, ["train", "test"])
    meta = {b"fine_label_names": [name.encode() for name in NAMES]}
    (folder / "meta").write_bytes(pickle.dumps(meta, protocol=2))
    return {"name": "Cifar100", "image_root": str(folder)}, NAMES


@pytest.mark.parametrize("write", [write_list, write_folders, write_cifar10, write_cifar100])
def test_class_names_reach_the_answers(write, digits, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    section, names = write(data)
    path = write_recipe(digits, tmp_path)
    recipe = yaml.safe_load(path.read_text())
    recipe["Global"].update(epochs=1, image_shape=[3, 32, 32])
    recipe["Arch"]["class_num"] = 3
    recipe["Metric"]["Eval"] = [{"TopkAcc": {"topk": [1]}}]
    for side in ("Train", "Eval"):
        ops = [op for op in recipe["DataLoader"][side]["dataset"]["transform_ops"] if "RandCropImageV2" not in op]
        recipe["DataLoader"][side]["dataset"] = {**section, "transform_ops": [op for op in ops if "Pad" not in op]}
        recipe["DataLoader"][side]["sampler"]["batch_size"] = 6
    path.write_text(yaml.safe_dump(recipe))

    ppcls.train(ppcls.load_config(path))
    assert json.loads((tmp_path / "out" / "latest.pdstates").read_text())["class_names"] == names

    picture = tmp_path / "picture.png"
    cv2.imwrite(str(picture), images()[0][0])
    shutil.rmtree(data)  # what follows may not need it
    changes = [
        f"Global.pretrained_model={tmp_path}/out/latest",
        f"Infer.infer_imgs={picture}",
        "Infer.PostProcess.topk=3",
    ]
    (answer,) = ppcls.infer(ppcls.load_config(path, changes))
    assert answer["label_names"] == [names[index] for index in answer["class_ids"]]

    ppcls.export(ppcls.load_config(path, changes))
    (exported,) = ppcls.Predictor(tmp_path / "inference", topk=3).predict(str(picture))
    assert (exported["class_ids"], exported["label_names"]) == (answer["class_ids"], answer["label_names"])
