"""``ppcls schedule``."""

from __future__ import annotations

import argparse

from ppcls.commands import ending
from ppcls.commands.command import Command, add_recipe_options, changes, load_recipe, to_json
from ppcls.utils.paths import user_path


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_recipe_options(parser)
    parser.add_argument(
        "--steps-per-epoch", type=int, metavar="N", help="updates per epoch (default: counted in the training data)"
    )
    parser.add_argument("--out", default="schedule.png", metavar="FILE", help="the picture (default: schedule.png)")


def _run(options: argparse.Namespace) -> int:
    config = load_recipe(options)
    from ppcls.engine import lr_schedule
    from ppcls.report.schedule_plot import draw_schedule

    if options.stage is not None:
        recipes = {options.stage: config.stage(options.stage)}
    else:
        recipes = dict(config.stages) or {"": config}
    curves = {name: lr_schedule.schedule_points(recipe, options.steps_per_epoch) for name, recipe in recipes.items()}
    draw_schedule(curves, user_path(options.out), str(options.config))
    tables = {name: lr_schedule.summarize(*curve) for name, curve in curves.items()}
    print(to_json(tables if config.Stages and options.stage is None else next(iter(tables.values()))))
    given = [word for change in changes(options) for word in ("-o", change)]
    following = ending.command("ppcls", "train", "-c", options.config, *given)
    ending.say("drew the learning rate", {"picture": user_path(options.out)}, following)
    return 0


COMMAND = Command("schedule", "draw the learning rate over a recipe's run", _add_options, _run)
