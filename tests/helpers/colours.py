"""Pictures whose class is their colour: folders of any names, which a tiny model learns in seconds."""

import cv2
import numpy as np
import yaml

# In BGR, as OpenCV writes them.
COLOURS = {"bee": (0, 220, 220), "cat": (200, 60, 0), "dog": (0, 60, 200), "eel": (60, 200, 60)}


def write_folders(root, names, count):
    """Write ``count`` pictures for each class; ``names`` gives the folder of each colour."""
    rng = np.random.default_rng(sum(map(ord, root.name)))
    for colour, folder in names.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            noise = rng.integers(0, 40, (16, 16, 3))
            cv2.imwrite(str(root / folder / f"{index}.png"), (noise + COLOURS[colour]).clip(0, 255).astype(np.uint8))


def write_list(path, root, labels):
    """Write a list of the pictures in ``root``: the label of each colour."""
    lines = [f"{file.relative_to(path.parent)} {labels[file.parent.name]}\n" for file in sorted(root.rglob("*.png"))]
    path.write_text("".join(line for line in lines))


def write_colour_recipe(path, train, evaluation, **changes):
    """Write a recipe on two data sets, without ``Arch.class_num``."""
    half = [0.5, 0.5, 0.5]
    ops = [{"DecodeImage": None}, {"NormalizeImage": {"mean": half, "std": half, "order": ""}}, {"ToCHWImage": None}]

    def side(dataset, shuffle):
        return {
            "dataset": {**dataset, "transform_ops": ops},
            "sampler": {"batch_size": 8, "shuffle": shuffle},
            "loader": {"num_workers": 0},
        }

    values = {
        "Global": {
            "epochs": 4,
            "report": False,
            "device": "cpu",
            "output_dir": str(path.parent / "out"),
            "image_shape": [3, 16, 16],
            "save_interval": 0,
            **changes,
        },
        "Arch": {"name": "ConvMixer", "dim": 16, "depth": 1, "kernel_size": 3, "patch_size": 4},
        "Optimizer": {"name": "AdamW", "lr": {"name": "ConstLR", "learning_rate": 0.02}},
        "DataLoader": {"Train": side(train, True), "Eval": side(evaluation, False)},
        "Metric": {"Eval": [{"TopkAcc": {"topk": [1]}}]},
    }
    path.write_text(yaml.safe_dump(values))
    return path


def folder(root):
    """Return the section of a data set of class folders."""
    return {"name": "ImageFolder", "image_root": str(root)}


def listed(path, **arguments):
    """Return the section of a data set of a list."""
    return {
        "name": "ImageNetDataset",
        "image_root": str(path.parent),
        "cls_label_path": str(path),
        **arguments,
    }
