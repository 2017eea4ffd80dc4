"""Digits with several labels each: even, greater than four, prime. A digit such as 1 has none of them."""

import yaml

from tests.helpers.recipes import write_recipe

NAMES = ["even", "large", "prime"]


def labels_of(digit):
    """Return 0 or 1 for each of ``NAMES``."""
    return [int(digit % 2 == 0), int(digit > 4), int(digit in (2, 3, 5, 7))]


def write_multilabel_lists(digits, folder, names=True):
    """Write lists of the digits' labels, and the names of the classes, to a folder."""
    folder.mkdir(exist_ok=True)
    for split in ("train", "val"):
        lines = [line.split() for line in (digits / f"{split}_list.txt").read_text().splitlines()]
        text = "".join(f"{path}\t{','.join(map(str, labels_of(int(digit))))}\n" for path, digit in lines)
        (folder / f"{split}_list.txt").write_text(text)
    if names:
        (folder / "labels.txt").write_text("".join(f"{index} {name}\n" for index, name in enumerate(NAMES)))


def write_multilabel_recipe(digits, folder, names=True):
    """Write the recipe, as short as it can be, beside its lists; everything it makes goes below ``folder``."""
    write_multilabel_lists(digits, folder / "lists", names)
    path = write_recipe(digits, folder)
    values = yaml.safe_load(path.read_text())
    values["Global"]["use_multilabel"] = True
    values["Arch"]["class_num"] = len(NAMES)
    values["Loss"] = {side: [{"MultiLabelLoss": {"size_sum": True}}] for side in ("Train", "Eval")}
    for side, split in (("Train", "train"), ("Eval", "val")):
        dataset = values["DataLoader"][side]["dataset"]
        dataset.update(name="MultiLabelDataset", cls_label_path=f"{folder}/lists/{split}_list.txt")
    del values["Metric"]
    path.write_text(yaml.safe_dump(values))
    return path


def change(recipe, **sections):
    """Replace sections of a recipe, named as ``Infer__PostProcess``."""
    values = yaml.safe_load(recipe.read_text())
    for name, value in sections.items():
        *parents, key = name.split("__")
        section = values
        for parent in parents:
            section = section.setdefault(parent, {})
        section[key] = value
    recipe.write_text(yaml.safe_dump(values))
