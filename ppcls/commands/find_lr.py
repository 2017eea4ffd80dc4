"""``ppcls find-lr``."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any, List, Tuple

from ppcls.commands import ending
from ppcls.commands.command import (
    Command,
    add_recipe_options,
    add_weight_options,
    changes,
    import_components,
    import_paddle,
    load_recipe,
    print_result,
)
from ppcls.errors import ConfigError, MachineError
from ppcls.utils.paths import user_path


def _add_options(parser: argparse.ArgumentParser) -> None:
    folder_help = "images, for which a recipe is chosen as by `ppcls train FOLDER`, or a run; instead of -c"
    parser.add_argument("folder", metavar="FOLDER", nargs="?", help=folder_help)
    add_recipe_options(parser, required=False)
    add_weight_options(parser)
    parser.add_argument(
        "--from", type=float, default=1e-5, dest="first", metavar="RATE", help="lowest rate (default: 1e-5)"
    )
    parser.add_argument("--to", type=float, default=1.0, dest="last", metavar="RATE", help="highest rate (default: 1)")
    parser.add_argument("--seconds", type=float, default=40.0, help="time for the updates (default: 40)")
    parser.add_argument(
        "--out", default="lr_range.svg", metavar="FILE", help="the picture, with its numbers in .json beside it"
    )


def _run(options: argparse.Namespace) -> int:
    target = _target(options.out)
    with tempfile.TemporaryDirectory(prefix="ppcls-find-lr-") as folder:
        config, source = _recipe(options, Path(folder))
        from ppcls.engine.lr_range_test import run_range_test

        result = run_range_test(config, options.first, options.last, options.seconds)
    from ppcls.report.lr_range_plot import draw_lr_range
    from ppcls.utils import atomic, json_text

    numbers = target.with_suffix(".json")
    atomic.write_text(target, draw_lr_range(result, f"Range test of the learning rate: {source[-1]}"))
    atomic.write_text(numbers, json_text.dumps(result.to_json()) + "\n")
    print_result(_summary(result))
    rate = f"{result.suggestion:.2g}"
    settings = [*changes(options), f"Optimizer.lr.learning_rate={rate}"]
    if options.folder is not None and options.config is not None:  # a run, whose folder has one with another rate
        settings.append(f"Global.output_dir={ending.short(user_path(options.folder).resolve())}_2")
    ending.say(
        f"suggested learning rate: {rate}",
        {"curve": target, "numbers": numbers},
        ending.command("ppcls", "train", *source, "-o", *settings),
    )
    return 0


def _target(out: str) -> Path:
    """Return where the picture goes.

    Raises:
        ConfigError: it is no SVG file.
        MachineError: its folder does not exist.
    """
    target = user_path(out)
    if target.suffix.lower() != ".svg":
        raise ConfigError(f"--out {out}: the picture is an SVG file; give a name that ends with .svg")
    if not target.parent.is_dir():
        raise MachineError(f"--out {out}: the folder {target.parent} does not exist")
    return target


def _recipe(options: argparse.Namespace, folder: Path) -> Tuple[Any, List[str]]:
    """Return the recipe to test, and what names it in a command.

    Args:
        folder: for lists of images.

    Raises:
        ConfigError: neither a folder nor a recipe is given, or both.
    """
    if (options.folder is None) == (options.config is None):
        raise ConfigError("give either a FOLDER of images or of a run, or a recipe: -c RECIPE")
    if options.folder is not None:
        given = user_path(options.folder)
        own = [given / name for name in ("recipe.yaml", "config.yaml") if (given / name).is_file()]
        if not own:
            return _chosen(options, given, folder), [options.folder]
        options.config = str(own[0])
    config = load_recipe(options)
    if config.Stages or options.stage:
        config = config.stage(options.stage or next(iter(config.stages)))
    return config, ["-c", options.config]


def _chosen(options: argparse.Namespace, images: Path, folder: Path) -> Any:
    """Return the recipe that `ppcls train FOLDER` would choose, without a range test of its own."""
    import_paddle()
    import_components(options)
    from ppcls.starter.plan import make_plan
    from ppcls.starter.record import Request

    # A rate that is given is not tested.
    settings = [*changes(options), "Optimizer.lr.learning_rate=0.001"]
    request = Request(str(images.resolve()), pretrained="none", changes=settings)
    return make_plan(images, request, folder, estimate=False).config


def _summary(result: Any) -> Any:
    return {
        "suggestion": result.suggestion,
        "updates": len(result.rates),
        "lowest_loss": min(result.smoothed),
        "images_per_second": round(result.images_per_second, 1),
        "seconds": round(result.seconds, 1),
    }


COMMAND = Command("find-lr", "find a suitable learning rate in less than a minute", _add_options, _run)
