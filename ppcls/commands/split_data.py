"""``ppcls split-data``."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from ppcls.commands.command import Command, to_json
from ppcls.utils.paths import user_path

_RECIPE = "transfer/photos_ConvMLP_S"


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", help="holds one folder of images per class")
    parser.add_argument(
        "--val", type=float, default=0.2, metavar="SHARE", help="for validation, of each class (default: 0.2)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, metavar="N", help="processes (default: one per core)")
    parser.add_argument("--out", metavar="FOLDER", help="where the lists go (default: FOLDER)")
    parser.add_argument("--replace", action="store_true", help="replace lists that are there")


def _run(options: argparse.Namespace) -> int:
    from ppcls.data.inspection.splitting import split_folder

    folder = user_path(options.folder)
    target = user_path(options.out) if options.out else folder
    result = split_folder(folder, target, options.val, options.seed, options.replace, options.workers)
    print(to_json(result))
    if result["val"]:
        print(f"next:\n  {_next_command(folder, target, result['classes'])}", file=sys.stderr)
    return 0


def _next_command(folder: Path, target: Path, classes: object) -> str:
    """Return the command that trains on the lists."""
    dataset = "DataLoader.{side}.dataset"
    changes = [
        f"{dataset.format(side=side)}.{key}={value}"
        for side, name in (("Train", "train_list.txt"), ("Eval", "val_list.txt"))
        for key, value in (("name", "ImageNetDataset"), ("image_root", folder), ("cls_label_path", target / name))
    ]
    return shlex.join(["ppcls", "train", "-c", _RECIPE, "-o", f"Arch.class_num={classes}", *changes])


COMMAND = Command("split-data", "write training and validation lists of images in class folders", _add_options, _run)
