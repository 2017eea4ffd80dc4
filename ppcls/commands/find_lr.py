"""``ppcls find-lr``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ppcls.commands import ending
from ppcls.commands.command import Command, add_recipe_options, add_weight_options, load_recipe, print_result


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", nargs="?", help="folder of a run of `ppcls train FOLDER`, instead of -c")
    add_recipe_options(parser, required=False)
    add_weight_options(parser)
    parser.add_argument("--from", type=float, default=1e-5, dest="first", metavar="RATE", help="lowest (default: 1e-5)")
    parser.add_argument("--to", type=float, default=1.0, dest="last", metavar="RATE", help="highest (default: 1)")
    parser.add_argument("--seconds", type=float, default=40.0, help="for the updates (default: 40)")
    parser.add_argument(
        "--out", default="lr_range.svg", metavar="FILE", help="the picture, with its numbers in .json beside it"
    )


def _run(options: argparse.Namespace) -> int:
    from ppcls.errors import ConfigError, MachineError
    from ppcls.utils.paths import user_path

    if (options.run is None) == (options.config is None):
        raise ConfigError("give a recipe, -c RECIPE, or the folder of a run that has a recipe.yaml")
    if options.run is not None:
        options.config = str(_recipe_of(user_path(options.run)))
    target = user_path(options.out)
    if target.suffix.lower() != ".svg":
        raise ConfigError(f"--out {options.out}: the picture is an SVG file: give a name that ends with .svg")
    if not target.parent.is_dir():
        raise MachineError(f"--out {options.out}: the folder {target.parent} does not exist")
    config = load_recipe(options)
    if config.Stages:
        config = config.stage(options.stage or next(iter(config.stages)))
    from ppcls.engine.lr_range_test import run_range_test
    from ppcls.report.lr_range_plot import draw_lr_range
    from ppcls.utils import atomic, json_text

    result = run_range_test(config, options.first, options.last, options.seconds)
    numbers = target.with_suffix(".json")
    atomic.write_text(target, draw_lr_range(result, f"Range test of the learning rate: {options.config}"))
    atomic.write_text(numbers, json_text.dumps(result.to_json()) + "\n")
    print_result(_summary(result))
    rate = f"Optimizer.lr.learning_rate={result.suggestion:.2g}"
    ending.say(
        f"suggested learning rate: {result.suggestion:.2g}",
        {"curve": target, "numbers": numbers},
        ending.command("ppcls", "train", "-c", options.config, "-o", rate),
    )
    return 0


def _recipe_of(run: Path) -> Path:
    """Return the recipe in a run's folder.

    Raises:
        ConfigError: there is none.
    """
    from ppcls.errors import ConfigError

    for name in ("recipe.yaml", "config.yaml"):
        if (run / name).is_file():
            return run / name
    raise ConfigError(f"{run}: no recipe.yaml or config.yaml there; give -c RECIPE, or the folder of a run")


def _summary(result: Any) -> Any:
    return {
        "suggestion": result.suggestion,
        "updates": len(result.rates),
        "lowest_loss": min(result.smoothed),
        "images_per_second": round(result.images_per_second, 1),
        "seconds": round(result.seconds, 1),
    }


COMMAND = Command("find-lr", "find a learning rate that suits, by a test of less than a minute", _add_options, _run)
