"""Photo-like pictures in two classes, recipes and lists of them."""

import yaml


def recipe_of(folder, **sides):
    """Write a recipe with these lists as its data."""
    normalize = [{"NormalizeImage": {"order": ""}}, {"ToCHWImage": None}]
    ops = {"Train": [{"RandCropImage": {"size": 48}}, {"RandFlipImage": None}], "Eval": [{"ResizeImage": {"size": 48}}]}
    values = {"Arch": {"name": "ConvMLP_S", "class_num": 2}, "DataLoader": {}}
    for side, listed in sides.items():
        dataset = {"name": "ImageNetDataset", "image_root": str(folder), "cls_label_path": str(listed)}
        dataset["transform_ops"] = [{"DecodeImage": None}, *ops[side], *normalize]
        values["DataLoader"][side] = {"dataset": dataset, "sampler": {"batch_size": 8, "shuffle": side == "Train"}}
    path = folder.parent / "recipe.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def lines(path):
    """Return the paths and labels of a list."""
    return [line.rsplit(" ", 1) for line in path.read_text().splitlines()]
