"""``ppcls split-data``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, List, Sequence, Tuple

from ppcls.commands import ending
from ppcls.commands.command import Command, add_recipe_options, changes, load_recipe, refuse_recipe_options, to_json
from ppcls.errors import ConfigError
from ppcls.utils.paths import user_path

if TYPE_CHECKING:
    from ppcls.data.datasets.base import FileDataset

_RECIPE = "transfer/photos_ConvMLP_S"


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.usage = "%(prog)s DATA [options]\n       %(prog)s -c RECIPE [-o KEY=VALUE ...] [options]"
    data_help = "folder with one folder of images per class, or a list file in the folder of its images"
    parser.add_argument("data", metavar="DATA", nargs="?", help=data_help)
    add_recipe_options(parser, required=False)
    parser.add_argument(
        "--val", type=float, default=0.2, metavar="SHARE", help="fraction of each class for validation (default: 0.2)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, metavar="N", help="processes (default: one per core)")
    parser.add_argument("--out", metavar="FOLDER", help="where the lists go (default: the folder of the images)")
    parser.add_argument("--replace", action="store_true", help="replace existing lists")


def _run(options: argparse.Namespace) -> int:
    if (options.data is None) == (options.config is None):
        raise ConfigError("give either DATA, a folder with one folder of images per class, or -c RECIPE")
    dataset, rest = _of_recipe(options) if options.data is None else (_of_path(options), [])
    from ppcls.data.inspection.splitting import split_dataset

    target = user_path(options.out) if options.out else dataset.root
    result: Any = split_dataset(dataset, target, options.val, options.seed, options.replace, options.workers)
    print(to_json(result))
    following = "" if rest else _next_command(options, dataset.root, target, result["classes"])
    reached = f"split: {result['train']:,} images for training, {result['val']:,} for validation"
    if rest:
        reached += f"; write the lists into the recipe, without {' and '.join(rest)}"
    ending.say(reached, {"training": target / "train_list.txt", "validation": target / "val_list.txt"}, following)
    return 0


def _of_path(options: argparse.Namespace) -> FileDataset:
    """Return the images of DATA."""
    refuse_recipe_options(options, "of a recipe, and DATA has none")
    from ppcls.data.inspection.splitting import open_source

    return open_source(user_path(options.data))


def _of_recipe(options: argparse.Namespace) -> Tuple[FileDataset, List[str]]:
    """Return all images of ``DataLoader.Train``, and its keys that lists do not have.

    Raises:
        ConfigError: they are no files.
    """
    config = load_recipe(options)
    from ppcls.data.build import build_dataset
    from ppcls.data.datasets.base import FileDataset
    from ppcls.engine.checks import require_split

    section = require_split(config, "Train").dataset.model_dump()
    rest = [key for key in ("val_fraction", "split_seed") if section.get(key)]
    # The lists have the images of both parts, and the labels that the list of the recipe has.
    dataset = build_dataset({key: section[key] for key in section if key not in (*rest, "relabel")}, train=True)
    if not isinstance(dataset, FileDataset):
        where = config.where("DataLoader", "Train", "dataset", "name")
        raise ConfigError(f"{where}: DataLoader.Train.dataset: {section['name']} has no files that could be listed")
    return dataset, rest


def _next_command(options: argparse.Namespace, root: Path, target: Path, classes: int) -> str:
    """Return the command that trains on the lists."""
    if options.config is not None:
        settings = [*changes(options), *_data_settings(root, target)]
        return ending.command("ppcls", "train", "-c", options.config, "-o", *settings)
    if target.absolute() == root.absolute():
        return ending.command("ppcls", "train", root)
    settings = [f"Arch.class_num={classes}", *_data_settings(root, target)]
    return ending.command("ppcls", "train", "-c", _RECIPE, "-o", *settings)


def _data_settings(root: Path, target: Path) -> Sequence[str]:
    """Return the changes of a recipe to train on the lists."""
    settings: List[str] = []
    for side, name in (("Train", "train_list.txt"), ("Eval", "val_list.txt")):
        for key, value in (("name", "ImageNetDataset"), ("image_root", root), ("cls_label_path", target / name)):
            settings.append(f"DataLoader.{side}.dataset.{key}={value}")
    return settings


COMMAND = Command("split-data", "write training and validation lists of images in class folders", _add_options, _run)
