"""Random data sets for training and evaluation, whose class names are known independently of the toolkit."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Optional, Tuple

import yaml
from hypothesis import strategies as st

from tests.properties import pictures

NAMES = ("ant", "Ant", "bee", "sweet pea", "élan", "Käfer", "猫", "狗", "07", "7", "n0144", "x.y", "co,ma", "été.jpg")
SIZES = ((16, 16), (16, 24), (24, 16))  # height, width
_SUFFIXES = tuple(pictures.FORMATS)


@dataclass(frozen=True)
class Side:
    """The data of ``DataLoader.Train`` or ``.Eval``.

    Attributes:
        layout: "folders", "named list" (with a labels.txt), or "list".
        labels: the label of each class in a list; not all up to the highest need occur.
        counts: number of pictures of each class.
        suffixes: of the pictures, in turn.
        relabel: of the list.
        delimiter: of the list; None is white space.
        nested: whether pictures lie in subfolders of their class.
    """

    layout: str
    labels: Tuple[int, ...]
    counts: Tuple[int, ...]
    suffixes: Tuple[str, ...]
    relabel: bool = False
    delimiter: Optional[str] = None
    nested: bool = False


@dataclass(frozen=True)
class World:
    """Data for training and evaluation.

    Attributes:
        names: of the classes, which are numbered as ``pictures.COLOURS`` are. Without names on disk, they are the
            labels of the lists as text.
        train: the training data.
        evaluation: the evaluation data.
        size: of the images, height and width.
        pick: chooses what a mutation changes.
    """

    names: Tuple[str, ...]
    train: Side
    evaluation: Side
    size: Tuple[int, int] = (16, 16)
    pick: int = 0


@st.composite
def worlds(draw, layouts=("folders", "named list", "list"), evaluation=None, images=3):
    """Draw a valid world.

    Args:
        layouts: of the training data. Data without names have none on either side.
        evaluation: the layout of the evaluation data; None draws it.
        images: of a class of the training data, at most.
    """
    layout = draw(st.sampled_from(layouts))
    count = draw(st.integers(2, 4))
    if layout == "list":
        labels = tuple(draw(st.lists(st.integers(0, 7), min_size=count, max_size=count, unique=True)))
        names = tuple(map(str, labels))
        sides = [(layout, labels, draw(st.booleans())) for _ in range(2)]
    else:
        names = tuple(draw(st.lists(st.sampled_from(NAMES), min_size=count, max_size=count, unique=True)))
        chosen = evaluation or draw(st.sampled_from(["folders", "named list"]))
        sides = []
        for kind in (layout, chosen):  # lists may name further classes, which have no pictures
            numbers = draw(st.permutations(range(count + 2 * (kind == "named list"))))[:count]
            sides.append((kind, tuple(numbers), kind == "named list" and draw(st.booleans())))
    train, other = (
        Side(
            layout=kind,
            labels=numbers,
            counts=tuple(draw(st.lists(st.integers(1, images), min_size=count, max_size=count))),
            suffixes=tuple(draw(st.lists(st.sampled_from(_SUFFIXES), min_size=1, max_size=3))),
            relabel=relabel,
            delimiter=draw(st.sampled_from([None, "\t", ";"])),
            nested=draw(st.booleans()),
        )
        for kind, numbers, relabel in sides
    )
    return World(names, train, other, draw(st.sampled_from(SIZES)), draw(st.integers(0, 99)))


@dataclass
class Files:
    """A side on disk, to be changed by mutations and written anew.

    Attributes:
        root: its folder.
        side: as it was drawn.
        entries: relative path of each picture, with its class.
        names: name of each label in labels.txt.
        labels: label of each class.
        arguments: further arguments of the data set.
        arch: further arguments of the recipe's model.
        transforms: further arguments of its transforms, by name.
        unused: number of files that ``check-data`` lists as not used, by kind.
    """

    root: Path
    side: Side
    entries: Dict[str, int] = field(default_factory=dict)
    names: Dict[int, str] = field(default_factory=dict)
    labels: Dict[int, int] = field(default_factory=dict)
    arguments: Dict[str, object] = field(default_factory=dict)
    arch: Dict[str, object] = field(default_factory=dict)
    transforms: Dict[str, Dict[str, object]] = field(default_factory=dict)
    unused: Dict[str, int] = field(default_factory=dict)

    @property
    def listed(self):
        """Whether there is a list file."""
        return self.side.layout != "folders"

    def add(self, name, colour, number, suffix=".png"):
        """Write a picture and list it; ``name`` is its path without suffix."""
        path = self.root / (name + suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pictures.content(colour, number, suffix))
        self.entries[name + suffix] = colour

    def move(self, old, new):
        """Rename a picture."""
        (self.root / new).parent.mkdir(parents=True, exist_ok=True)
        (self.root / old).rename(self.root / new)
        self.entries[new] = self.entries.pop(old)

    def lines(self):
        """Return the lines of the list."""
        delimiter = self.side.delimiter or " "
        return [f"{path}{delimiter}{self.labels[colour]}" for path, colour in self.entries.items()]

    def write_lists(self, lines=None, names=None, end="\n", start=""):
        """Write the list and, where it has names, labels.txt."""
        if not self.listed:
            return
        lines = self.lines() if lines is None else lines
        (self.root / "list.txt").write_bytes((start + "".join(line + end for line in lines)).encode())
        if self.side.layout == "named list":
            pairs = [f"{label} {name}" for label, name in self.names.items()] if names is None else names
            (self.root / "labels.txt").write_bytes((start + "".join(pair + end for pair in pairs)).encode())

    def section(self):
        """Return the recipe's ``dataset`` section without transforms."""
        if not self.listed:
            return {"name": "ImageFolder", "image_root": str(self.root), **self.arguments}
        given = {"cls_label_path": str(self.root / "list.txt"), "relabel": self.side.relabel}
        if self.side.delimiter is not None:
            given["delimiter"] = self.side.delimiter
        return {"name": "ImageNetDataset", "image_root": str(self.root), **given, **self.arguments}


def write_side(root, world, side, first):
    """Write a side of a world.

    Args:
        first: number of its first picture; two sides share none.
    """
    files = Files(root, side, labels=dict(enumerate(side.labels)))
    if side.layout == "named list":
        files.names = {label: f"unused {label}" for label in range(max(side.labels) + 1)}
    root.mkdir(parents=True)
    for colour, name in enumerate(world.names):
        if side.layout != "list":
            files.names[side.labels[colour]] = name
        folder = name if side.layout == "folders" else f"part {colour % 2}"
        for index in range(side.counts[colour]):
            below = f"{folder}/sub {index % 2}" if side.nested else folder
            suffix = side.suffixes[index % len(side.suffixes)]
            files.add(f"{below}/图 {colour}-{index}", colour, first + index, suffix)
    files.write_lists()
    return files


def class_count(world):
    """Return the number of classes of the training data."""
    side = world.train
    return len(side.labels) if side.layout == "folders" or side.relabel else max(side.labels) + 1


def write_recipe(path, world, train, evaluation, arch="ConvMixer"):
    """Write the recipe of a world that is on disk; return its path."""
    height, width = world.size
    ops = [
        {"DecodeImage": None},
        {"ResizeImage": {"size": [width, height]}},
        {"NormalizeImage": {"scale": 1 / 255, "mean": [0.0] * 3, "std": [1.0] * 3, "order": ""}},
        {"ToCHWImage": None},
    ]

    def changed(op, files):
        return {name: {**(given or {}), **files.transforms.get(name, {})} or None for name, given in op.items()}

    def split(files, shuffle):
        return {
            "dataset": {**files.section(), "transform_ops": [changed(op, files) for op in ops]},
            "sampler": {"batch_size": 4, "shuffle": shuffle},
            "loader": {"num_workers": 0},
        }

    models = {
        "ConvMixer": {"name": "ConvMixer", "dim": 16, "depth": 1, "kernel_size": 3, "patch_size": 4},
        "gMLP": {"name": "gMLP", "dim": 16, "depth": 1, "patch_size": 8, "image_size": [height, width]},
    }
    recipe = {
        "Global": {
            "epochs": 5,
            "report": False,
            "device": "cpu",
            "output_dir": str(path.parent / "out"),
            "save_inference_dir": str(path.parent / "export"),
            "image_shape": [3, height, width],
            "save_interval": 0,
        },
        "Arch": {**models[arch], **evaluation.arch},
        "Optimizer": {"name": "AdamW", "lr": {"name": "ConstLR", "learning_rate": 0.02}},
        "DataLoader": {"Train": split(train, True), "Eval": split(evaluation, False)},
        "Metric": {"Eval": [{"TopkAcc": {"topk": [1]}}, {"ConfusionMatrix": None}]},
        "Infer": {"PostProcess": {"topk": 1}},
    }
    path.write_text(yaml.safe_dump(recipe, allow_unicode=True), encoding="utf-8")
    return path
