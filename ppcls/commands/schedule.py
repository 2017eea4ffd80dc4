"""``ppcls schedule``."""

from __future__ import annotations

import argparse
from pathlib import Path

from ppcls.commands.command import Command, add_recipe_options, load_recipe, to_json


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_recipe_options(parser)
    parser.add_argument("--steps-per-epoch", type=int, metavar="N", help="default: counted in the training data")
    parser.add_argument("--out", default="schedule.png", metavar="FILE", help="the picture (default: schedule.png)")


def _run(options: argparse.Namespace) -> int:
    config = load_recipe(options)
    from ppcls.engine import schedules

    recipes = dict(config.stages) or {config.Optimizer.lr.name if config.Optimizer else "": config}
    built = {name: schedules.schedule_of(recipe, options.steps_per_epoch) for name, recipe in recipes.items()}
    curves = [(name, schedules.points(schedule)) for name, schedule in built.items()]
    schedules.draw(curves, Path(options.out).expanduser(), str(options.config))
    tables = {name: schedules.table(schedule) for name, schedule in built.items()}
    print(to_json(tables if config.Stages else next(iter(tables.values()))))
    return 0


COMMAND = Command("schedule", "draw the learning rate over a recipe's run", _add_options, _run)
