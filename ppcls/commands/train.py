"""``ppcls train``."""

from __future__ import annotations

import argparse

from ppcls.commands.command import Command, add_recipe_options, add_weight_options, load_recipe, print_result


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_recipe_options(parser)
    add_weight_options(parser)


def _run(options: argparse.Namespace) -> int:
    config = load_recipe(options)
    from ppcls.engine import train

    print_result(train(config, options.stage).summary())
    return 0


COMMAND = Command(
    "train",
    "train a model, or continue with -o Global.checkpoints=PREFIX (auto: where it left off)",
    _add_options,
    _run,
)
