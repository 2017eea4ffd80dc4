"""``ppcls train``."""

from __future__ import annotations

import argparse

from ppcls.commands.command import Command, add_recipe_options, load_recipe, print_result


def _run(options: argparse.Namespace) -> int:
    config = load_recipe(options)
    from ppcls.engine import train

    print_result(train(config, options.stage).summary())
    return 0


COMMAND = Command(
    "train",
    "train a model, or continue with -o Global.checkpoints=PREFIX (auto: where it left off)",
    add_recipe_options,
    _run,
)
