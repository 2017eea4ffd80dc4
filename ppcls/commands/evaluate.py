"""``ppcls eval``."""

from __future__ import annotations

import argparse

from ppcls.commands.command import Command, add_recipe_options, load_for_weights, to_json


def _run(options: argparse.Namespace) -> int:
    config = load_for_weights(options)
    from ppcls.engine import evaluate

    print(to_json(evaluate(config)))
    return 0


COMMAND = Command("eval", "evaluate weights (-o Global.pretrained_model=PREFIX)", add_recipe_options, _run)
