"""``ppcls show-data``."""

from __future__ import annotations

import argparse

from ppcls.commands import ending
from ppcls.commands.command import Command, add_recipe_options, changes, load_recipe, refuse_recipe_options
from ppcls.errors import ConfigError
from ppcls.utils.paths import user_path


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.usage = "%(prog)s DATA [options]\n       %(prog)s -c RECIPE [-o KEY=VALUE ...] [options]"
    data_help = "folder, list or shards, as for `ppcls check`: its images are drawn as they are"
    parser.add_argument("data", metavar="DATA", nargs="?", help=data_help)
    add_recipe_options(parser, required=False)
    parser.add_argument("-n", type=int, default=16, metavar="N", help="number of images (default: 16)")
    parser.add_argument("--split", choices=("Train", "Eval"), default="Train")
    parser.add_argument(
        "--epoch", type=int, metavar="N", help="epoch whose order and augmentation are shown (default: 0)"
    )
    parser.add_argument("--out", default="data.png", metavar="FILE", help="the picture (default: data.png)")


def _run(options: argparse.Namespace) -> int:
    if (options.data is None) == (options.config is None):
        raise ConfigError("give either DATA, such as a folder with one folder of images per class, or -c RECIPE")
    target = user_path(options.out)
    if options.data is not None:
        count = _draw_data(options)
        reached = f"drew {count:,} images as they are; -c RECIPE draws them as the model sees them"
        following = ending.command("ppcls", "train", user_path(options.data))
    else:
        config = load_recipe(options)
        from ppcls.engine.inspection import show_data

        show_data(config, target, options.n, options.split, options.epoch or 0)
        reached = "drew images as the model sees them"
        given = [word for change in changes(options) for word in ("-o", change)]
        following = ending.command("ppcls", "train", "-c", options.config, *given)
    print(options.out)
    ending.say(reached, {"picture": target}, following)
    return 0


def _draw_data(options: argparse.Namespace) -> int:
    """Draw images of DATA; return how many."""
    refuse_recipe_options(options, "of a recipe, and DATA has none")
    if options.epoch is not None:
        raise ConfigError("--epoch: chooses the augmentation of a recipe; leave it out, or give -c RECIPE")
    from ppcls.data.folder_layout import find_layout
    from ppcls.data.inspection.samples import draw_samples

    layout = find_layout(options.data)
    section = layout.train if options.split == "Train" else layout.val
    if section is None:
        raise ConfigError(f"--split Eval: {options.data} has no validation part")
    return draw_samples(section, user_path(options.out), options.n)


COMMAND = Command(
    "show-data",
    "draw the images of a folder, or those of a recipe as the model will see them",
    _add_options,
    _run,
)
