"""``ppcls cross-validate``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

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
from ppcls.commands.sweep import add_run_options, require_one_process
from ppcls.errors import ConfigError
from ppcls.utils.paths import user_path

_SUFFIX = "cross_validation"  # of the folder of all runs


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.usage = "%(prog)s FOLDER [-k N] [options]\n       %(prog)s -c RECIPE [FOLDER] [-k N] [options]"
    folder_help = "images to divide: class folders or a list (default: DataLoader.Train of the recipe)"
    parser.add_argument("folder", metavar="FOLDER", nargs="?", help=folder_help)
    add_recipe_options(parser, required=False)
    add_weight_options(parser)
    parser.add_argument("-k", "--folds", metavar="N", type=int, default=5, help="the number of folds (default: 5)")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="seed of the folds (default: 0)")
    add_run_options(parser, _SUFFIX)


def _run(options: argparse.Namespace) -> int:
    require_one_process("cross-validate")
    if options.stage is not None:
        raise ConfigError("--stage: cross-validation trains all stages of a recipe; leave it out")
    if options.config is None and options.folder is None:
        raise ConfigError("give a FOLDER of images, or -c RECIPE")
    import_paddle()
    import_components(options)
    from ppcls.tuning import cross_validation, devices

    slots = devices.parse_devices(options.devices)
    recipe, root = _of_folder(options) if options.config is None else _of_recipe(options)
    section = None if options.folder is None else _section(options.folder)
    result = cross_validation.cross_validate(recipe, section, options.folds, options.seed, root, slots)
    print_result(result.to_json())
    _say_ending(result)
    return 0


def _of_recipe(options: argparse.Namespace) -> Tuple[Any, Path]:
    """Return the recipe, and the folder of all runs."""
    from ppcls.tuning.sweeps import Recipe

    recipe = Recipe(options.config, changes(options), options.imports)
    return recipe, user_path(options.output or f"{recipe.load().Global.output_dir}_{_SUFFIX}")


def _of_folder(options: argparse.Namespace) -> Tuple[Any, Path]:
    """Return the recipe that `ppcls train FOLDER` would choose, and the folder of all runs."""
    from ppcls.starter.plan import default_output, make_plan
    from ppcls.starter.record import RECIPE, Request
    from ppcls.tuning.sweeps import Recipe

    folder = user_path(options.folder)
    default = default_output(folder)
    root = user_path(options.output) if options.output else default.with_name(f"{default.name}_{_SUFFIX}")
    make_plan(folder, Request(folder=str(folder.resolve()), changes=changes(options)), root / "chosen")
    return Recipe(str(root / "chosen" / RECIPE), imports=options.imports), root


def _section(folder: str) -> Dict[str, Any]:
    """Return the ``dataset`` section of a folder's images; of a part for validation nothing is used."""
    from ppcls.data.folder_layout import find_layout
    from ppcls.utils.logging import get_logger

    layout = find_layout(folder)
    for note in layout.notes:
        get_logger().info("%s: %s", folder, note)
    if layout.val is not None:
        text = "%s: the part for training is divided (%d images); that for validation is not used (%d images)"
        get_logger().info(text, folder, sum(layout.counts.values()), sum(layout.val_counts.values()))
    return dict(layout.train)


def _say_ending(result: Any) -> None:
    """Print the table of the folds, and say what was reached."""
    from ppcls.tuning import cross_validation
    from ppcls.tuning.tables import duration, format_table

    rows = [
        [
            *(trial.name, size, trial.result["value"], trial.result["epoch"], trial.result["last"].get(result.metric)),
            duration(trial.seconds),
        ]
        for trial, size in zip(result.trials, result.sizes)
        if trial.result is not None
    ]
    header = ["fold", "images", f"best {result.metric}", "epoch", "last epoch", "time"]
    print(format_table(header, rows), file=sys.stderr)
    best, last = (_spread(result.summary(kind).get(result.metric)) for kind in ("metrics", "last"))
    pooled = (
        "" if result.pooled is None else f"; {100 * result.pooled.accuracy:.2f} % of all images are answered correctly"
    )
    where = {"page": result.root / cross_validation.PAGE, "numbers": result.root / cross_validation.FILE}
    folds = [result.root / trial.name for trial in result.trials]
    ending.say(
        f"{len(folds)} folds: {result.metric} {best} in the best epochs, {last} in the last ones{pooled}",
        where,
        ending.command("ppcls", "report", *folds),
    )


def _spread(values: Optional[Dict[str, Any]]) -> str:
    if values is None:
        return "unknown"
    return f"{values['mean']:.4f}" + ("" if values["deviation"] is None else f" ± {values['deviation']:.4f}")


COMMAND = Command(
    "cross-validate",
    "train once for each fold of the data, on the others, and summarize the results",
    _add_options,
    _run,
)
