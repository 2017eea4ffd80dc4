"""``ppcls infer``."""

from __future__ import annotations

import argparse

from ppcls.commands.command import Command, add_recipe_options, load_for_weights, to_json


def _run(options: argparse.Namespace) -> int:
    config = load_for_weights(options)
    from ppcls.engine import infer

    answers = infer(config)
    print(to_json(answers))
    return 2 if any("error" in answer for answer in answers) else 0


COMMAND = Command("infer", "predict images (-o Infer.infer_imgs=IMAGE_OR_FOLDER)", add_recipe_options, _run)
