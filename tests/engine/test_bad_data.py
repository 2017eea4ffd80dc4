"""Broken data in training and evaluation, through the command line, with worker processes and without."""

import json
import re
import shutil
import struct
import zlib
from pathlib import Path

import pytest

from ppcls.utils.digests import sha256
from tests.helpers.damage import READ, REFUSED, damages


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


HUGE = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)) + chunk(b"IEND", b"")
BROKEN = {
    "truncated": (lambda good: good[: len(good) // 2], "truncated"),
    "empty": (lambda good: b"", "empty"),
    "text": (lambda good: b"this is not a picture", "not an image"),
    "huge": (lambda good: HUGE, "60000 x 60000"),
}


@pytest.fixture
def copy(digits, tmp_path):
    """Return a copy of the data that a test may damage, and the overrides that make a recipe use it."""
    folder = tmp_path / "data"
    shutil.copytree(digits, folder)
    changes = []
    for split, name in (("Train", "train"), ("Eval", "val")):
        section = f"DataLoader.{split}.dataset"
        changes += [f"{section}.image_root={folder}", f"{section}.cls_label_path={folder}/{name}_list.txt"]
    return folder, changes


def damage(folder, split, kind):
    """Break one image of a split; return its path."""
    victim = sorted((folder / split).iterdir())[7]
    victim.write_bytes(BROKEN[kind][0](victim.read_bytes()))
    return victim


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_training_image_stops_the_run_and_is_named(recipe, run, copy, kind, workers):
    folder, changes = copy
    victim = damage(folder, "train", kind)
    done = run("train", "-c", recipe, "-o", *changes, f"DataLoader.Train.loader.num_workers={workers}", code=2)
    assert str(victim) in done.stderr
    assert BROKEN[kind][1] in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_run_that_broken_data_ended_goes_on_after_the_repair(recipe, run, copy, split):
    folder, changes = copy
    run("train", "-c", recipe, "-o", *changes, "Global.output_dir=calm")
    good = sorted((folder / split).iterdir())[7].read_bytes()
    victim = damage(folder, split, "truncated")
    done = run("train", "-c", recipe, "-o", *changes, code=2)
    resume = re.search(r"-o (Global\.checkpoints=\S+)", done.stderr).group(1)
    victim.write_bytes(good)
    run("train", "-c", recipe, "-o", *changes, resume)
    assert sha256(recipe.parent / "out/latest.pdparams") == sha256(recipe.parent / "calm/latest.pdparams")


def test_skipped_images_are_replaced_counted_and_listed(recipe, run, copy):
    folder, changes = copy
    victims = [damage(folder, "train", "truncated")]
    victims.append(sorted((folder / "train").iterdir())[50])
    victims[1].unlink()
    done = run("train", "-c", recipe, "-o", *changes, "DataLoader.Train.dataset.on_error=skip")
    assert "2 unreadable images so far were replaced" in done.stderr
    file = recipe.parent / "out" / "skipped_images.txt"
    listed = file.read_text().splitlines()
    assert len(listed) == 2
    resume = ("Global.epochs=3", f"Global.checkpoints={recipe.parent}/out/latest")
    run("train", "-c", recipe, "-o", *changes, "DataLoader.Train.dataset.on_error=skip", *resume)
    assert file.read_text().splitlines() == listed  # a resumed run does not list them again
    assert all(any(line.startswith(f"{victim}: ") for line in listed) for victim in victims)


@pytest.mark.parametrize("workers", [0, 2])
def test_evaluation_never_replaces(recipe, run, copy, workers):
    folder, changes = copy
    run("train", "-c", recipe, "-o", *changes, "Global.epochs=1")
    victim = damage(folder, "val", "truncated")
    weights = f"Global.pretrained_model={recipe.parent}/out/latest"
    workers = f"DataLoader.Eval.loader.num_workers={workers}"
    done = run("eval", "-c", recipe, "-o", *changes, weights, workers, code=2)
    assert str(victim) in done.stderr
    done = run("eval", "-c", recipe, "-o", *changes, weights, "DataLoader.Eval.dataset.on_error=skip", code=2)
    assert "on_error" in done.stderr


@pytest.mark.parametrize(
    ("spoil", "parts"),
    [
        (lambda text: "", ["lists no images"]),
        (lambda text: text + "train/001.png\n", ["train_list.txt:121"]),
        (lambda text: text + "train/001.png three\n", ["train_list.txt:121", "'three'"]),
        (lambda text: text.replace(" 9\n", " 10\n", 1), ["label 10 is outside 0..9", "train_list.txt:"]),
        (lambda text: "nowhere.png 1\n" + text, ["train_list.txt:1", "nowhere.png"]),
    ],
)
def test_wrong_lists_are_located_before_training(recipe, run, copy, spoil, parts):
    folder, changes = copy
    listed = folder / "train_list.txt"
    listed.write_text(spoil(listed.read_text()))
    done = run("train", "-c", recipe, "-o", *changes, code=2)
    for part in parts:
        assert part in done.stderr
    assert "[Train]" not in done.stderr


def test_workers_and_none_train_the_same_weights(recipe, run):
    weights = []
    for workers in (0, 1, 3):
        changes = [f"DataLoader.{split}.loader.num_workers={workers}" for split in ("Train", "Eval")]
        out = recipe.parent / f"out{workers}"
        run("train", "-c", recipe, "-o", *changes, f"Global.output_dir={out}")
        states = json.loads((out / "latest.pdstates").read_text())
        weights.append((sha256(out / "latest.pdparams"), states["history"]))
    assert weights[0] == weights[1] == weights[2]


def test_class_folders_without_lists(recipe, run, tmp_path, digits):
    for line in (digits / "train_list.txt").read_text().splitlines():
        name, label = line.split()
        target = tmp_path / "folders" / f"class-{label}" / name.replace("/", "-")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(digits / name, target)
    text = recipe.read_text().replace("name: ImageNetDataset", "name: ImageFolder")
    text = "\n".join(line for line in text.splitlines() if "cls_label_path" not in line)
    recipe.write_text(text)
    changes = [f"DataLoader.{split}.dataset.image_root={tmp_path}/folders" for split in ("Train", "Eval")]
    run("train", "-c", recipe, "-o", *changes)
    states = json.loads((recipe.parent / "out" / "best_model.pdstates").read_text())
    assert states["class_names"] == [f"class-{i}" for i in range(10)]


@pytest.mark.parametrize("tool", ["train", "eval"])
def test_one_folder_for_both_sides_is_shared_out_alike(recipe, run, tmp_path, digits, tool):
    for line in (digits / "train_list.txt").read_text().splitlines():
        name, label = line.split()
        target = tmp_path / "folders" / f"class-{label}" / Path(name).name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(digits / name, target)
    text = recipe.read_text().replace("name: ImageNetDataset", "name: ImageFolder\n      val_fraction: 0.3")
    recipe.write_text("\n".join(line for line in text.splitlines() if "cls_label_path" not in line))
    changes = [f"DataLoader.{split}.dataset.image_root={tmp_path}/folders" for split in ("Train", "Eval")]
    done = run(tool, "-c", recipe, "-o", *changes, "DataLoader.Eval.dataset.split_seed=1", code=2)
    assert "dataset.split_seed: not given in DataLoader.Train and 1 in DataLoader.Eval" in done.stderr
    if tool == "train":
        run("train", "-c", recipe, "-o", *changes, "Global.epochs=1")
        assert (recipe.parent / "out" / "best_model.pdparams").is_file()


def test_cifar10_in_its_official_binary_layout(recipe, run, tmp_path):
    import numpy as np

    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
        records = rng.integers(0, 256, (8, 3073), np.uint8)
        records[:, 0] %= 10
        (folder / name).write_bytes(records.tobytes())
    lines = []
    for line in recipe.read_text().splitlines():
        if "cls_label_path" in line:
            continue
        lines.append(line.replace("name: ImageNetDataset", "name: Cifar10"))
    recipe.write_text("\n".join(lines))
    changes = [f"DataLoader.{split}.dataset.image_root={tmp_path}" for split in ("Train", "Eval")]
    changes += ["DataLoader.Eval.dataset.mode=test", "DataLoader.Train.sampler.batch_size=8", "Arch.patch_size=8"]
    done = run(
        "train", "-c", recipe, "-o", *changes, "DataLoader.Train.dataset.transform_ops.2.RandCropImageV2.size=32"
    )
    assert "[Epoch 2/2][Iter: 4/5]" in done.stderr


def test_classes_that_are_not_in_evaluation_are_said(recipe, run, tmp_path, digits):
    for split, missing in (("train", None), ("val", "4")):
        for line in (digits / f"{split}_list.txt").read_text().splitlines():
            name, label = line.split()
            if label != missing:
                target = tmp_path / "folders" / split / f"class-{label}" / Path(name).name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(digits / name, target)
    text = recipe.read_text().replace("name: ImageNetDataset", "name: ImageFolder")
    recipe.write_text("\n".join(line for line in text.splitlines() if "cls_label_path" not in line))
    pairs = (("Train", "train"), ("Eval", "val"))
    changes = [f"DataLoader.{section}.dataset.image_root={tmp_path}/folders/{split}" for section, split in pairs]
    done = run("train", "-c", recipe, "-o", *changes)
    assert "DataLoader.Eval: no images for 1 of the 10 classes of DataLoader.Train: class-4" in done.stderr
    (tmp_path / "folders" / "train" / "class-5").rename(tmp_path / "folders" / "train" / "five")
    done = run("train", "-c", recipe, "-o", *changes, code=2)
    assert "DataLoader.Eval: 'class-5' is not a class of DataLoader.Train; rename or remove it" in done.stderr


def test_evaluation_does_not_leave_images_out(recipe, run):
    done = run("train", "-c", recipe, "-o", "DataLoader.Eval.sampler.drop_last=true", code=2)
    assert "evaluation counts each image once" in done.stderr


def test_a_hundred_broken_images_in_training(recipe, run, copy):
    folder, changes = copy
    made = damages()
    for name, content, _ in made:
        (folder / "train" / name).write_bytes(content)
    with (folder / "train_list.txt").open("a") as file:
        file.writelines(f"train/{name} {index % 10}\n" for index, (name, _, _) in enumerate(made))
    resize = "DataLoader.Train.dataset.transform_ops.1={ResizeImage: {size: 20}}"
    changes = [*changes, resize, "DataLoader.Train.loader.num_workers=2", "Global.epochs=1"]
    done = run("train", "-c", recipe, "-o", *changes, "DataLoader.Train.dataset.on_error=skip")
    assert "[Eval][Epoch 1]" in done.stderr
    listed = (recipe.parent / "out" / "skipped_images.txt").read_text().splitlines()
    named = {line.split(": ")[0] for line in listed}
    assert {f"{folder}/train/{name}" for name, _, verdict in made if verdict == REFUSED} <= named
    assert named <= {f"{folder}/train/{name}" for name, _, verdict in made if verdict != READ}
    done = run("train", "-c", recipe, "-o", *changes, "Global.output_dir=other", code=2)
    assert any(f"{folder}/train/{name}" in done.stderr for name, _, _ in made)
    assert "Traceback" not in done.stderr
