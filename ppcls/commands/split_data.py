"""``ppcls split-data``."""

from __future__ import annotations

import argparse

from ppcls.commands.command import Command, to_json
from ppcls.utils.paths import user_path


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
    print(to_json(split_folder(folder, target, options.val, options.seed, options.replace, options.workers)))
    return 0


COMMAND = Command("split-data", "write training and validation lists of images in class folders", _add_options, _run)
