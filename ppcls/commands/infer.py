"""``ppcls infer``."""

from __future__ import annotations

import argparse

from ppcls.commands.command import Command, add_recipe_options, load_for_weights, print_result


def _run(options: argparse.Namespace) -> int:
    config = load_for_weights(options)
    from ppcls.engine import infer

    answers = infer(config)
    print_result(answers)
    return 2 if any("error" in answer for answer in answers) else 0


COMMAND = Command("infer", "predict images (-o Infer.infer_imgs=IMAGE_OR_FOLDER)", add_recipe_options, _run)
