"""``ppcls sweep``."""

from __future__ import annotations

import argparse
import sys
from typing import Any, List

from ppcls.commands import ending
from ppcls.commands.command import (
    Command,
    add_recipe_options,
    add_weight_options,
    changes,
    import_components,
    import_paddle,
    print_result,
)
from ppcls.errors import ConfigError, MachineError
from ppcls.utils import distributed
from ppcls.utils.paths import user_path

_SHOWN = 20  # rows of the table on the screen


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.usage = "%(prog)s -c RECIPE 'KEY=[VALUE, VALUE]' ... [options]"
    grid_help = (
        "values to try, such as 'Optimizer.lr.learning_rate=[1e-4, 1e-3]'; of several keys all combinations. With "
        "--random also KEY=uniform(LOW, HIGH) and KEY=loguniform(LOW, HIGH)"
    )
    parser.add_argument("grid", metavar="KEY=[VALUES]", nargs="+", help=grid_help)
    add_recipe_options(parser)
    add_weight_options(parser)
    parser.add_argument("--random", metavar="N", type=int, help="draw N points instead of taking all combinations")
    parser.add_argument("--seed", metavar="N", type=int, help="seed of --random (default: 0)")
    add_run_options(parser, "sweep")


def add_run_options(parser: argparse.ArgumentParser, what: str) -> None:
    """Add what commands that train several times have in common."""
    output_help = f"folder of all runs (default: Global.output_dir of the recipe and '_{what}')"
    parser.add_argument("--output", metavar="FOLDER", help=output_help)
    devices_help = "train at the same time: cpu:2 for two processes, gpu:0,1 for one on each GPU (default: in turn)"
    parser.add_argument("--devices", metavar="DEVICES", help=devices_help)


def _run(options: argparse.Namespace) -> int:
    require_one_process("sweep")
    if options.stage is not None:
        raise ConfigError("--stage: a sweep trains all stages of a recipe; leave it out")
    if options.seed is not None and options.random is None:
        raise ConfigError("--seed: needs --random N; to sweep over seeds, give 'Global.seed=[0, 1, 2]'")
    if options.random is not None and options.random < 1:
        raise ConfigError(f"--random {options.random}: must be at least 1, the number of points")
    import_paddle()
    import_components(options)
    from ppcls.tuning import devices, grid, sweeps

    slots = devices.parse_devices(options.devices)
    axes = grid.read_axes(options.grid)
    if options.random is None:
        points = grid.all_points(axes)
    else:
        points = grid.random_points(axes, options.random, options.seed or 0)
    recipe = sweeps.Recipe(options.config, changes(options), options.imports)
    root = user_path(options.output or f"{recipe.load().Global.output_dir}_sweep")
    result = sweeps.sweep(recipe, points, root, slots)
    print_result(result.to_json())
    _say_ending(result)
    return 0


def require_one_process(command: str) -> None:
    """Refuse the launcher.

    Raises:
        MachineError: it started this process.
    """
    if distributed.world_size() > 1:
        raise MachineError(f"ppcls {command} starts its trainings itself: run it without the launcher, with --devices")


def _say_ending(result: Any) -> None:
    """Print the table, and say what the best is."""
    from ppcls.tuning import grid, sweeps
    from ppcls.tuning.tables import duration, format_table

    names = grid.short_keys(list(result.ranking[0].point))
    has_seeds = any(ranked.deviation is not None for ranked in result.ranking)
    header = [*names.values(), result.metric, *(["deviation"] if has_seeds else []), "time"]
    rows: List[List[Any]] = [
        [
            *(grid.show(ranked.point[key]) for key in names),
            ranked.mean,
            *([ranked.deviation] if has_seeds else []),
            duration(sum(trial.seconds for trial in ranked.members)),
        ]
        for ranked in result.ranking
    ]
    print(format_table(header, rows[:_SHOWN]), file=sys.stderr)
    if len(rows) > _SHOWN:
        print(f"and {len(rows) - _SHOWN} more, in {ending.short(result.root / sweeps.PAGE)}", file=sys.stderr)
    best, failed = result.ranking[0], sum(trial.error is not None for trial in result.trials)
    values = " ".join(grid.as_changes(best.point))
    text = f"best of {len(result.ranking)}: {result.metric} {best.mean:.5f} with {values}"
    run = result.root / best.best_run.name
    where = {"page": result.root / sweeps.PAGE, "run": run}
    following = ending.command("ppcls", "eval", run)
    ending.say(text + (f"; {failed} failed" if failed else ""), where, following)


COMMAND = Command("sweep", "train a recipe with different values, and rank them", _add_options, _run)
