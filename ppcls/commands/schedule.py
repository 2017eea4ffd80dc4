"""``ppcls schedule``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Dict, Mapping

from ppcls.commands.command import Command, add_recipe_options, load_recipe, to_json
from ppcls.errors import ConfigError, DataError, MachineError


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_recipe_options(parser)
    parser.add_argument("--out", metavar="PICTURE", help="draw the curve into this file (.png, .svg or .pdf)")
    parser.add_argument(
        "--steps-per-epoch", type=int, metavar="N", help="updates an epoch; default: those of the recipe's data"
    )


def _run(options: argparse.Namespace) -> int:
    config = load_recipe(options)
    from ppcls.engine.rates import schedule_points

    if options.out is not None:
        _plotting()  # before the work
    recipes: Mapping[str, Any] = config.stages or {"": config}
    if options.stage is not None:
        recipes = {options.stage: config.stage(options.stage)}
    steps = options.steps_per_epoch
    curves = {
        name: schedule_points(recipe, _steps_of_data(recipe) if steps is None else steps)
        for name, recipe in recipes.items()
    }
    tables = [_table(name, recipes[name], curve) for name, curve in curves.items()]
    if options.out is not None:
        draw(curves, Path(options.out).expanduser())
    print(to_json(tables[0] if list(curves) == [""] else {"stages": tables}))
    return 0


def _steps_of_data(config: Any) -> int:
    from ppcls.engine.rates import steps_per_epoch

    try:
        return steps_per_epoch(config)
    except (ConfigError, DataError) as error:
        raise type(error)(
            f"{error}\nWithout the data, say how many updates an epoch has: --steps-per-epoch N"
        ) from None


def _table(name: str, config: Any, curve: Any) -> Dict[str, Any]:
    stage = {"stage": name} if name else {}
    note = {"note": "drawn as if every evaluation were the best"} if curve.follows_evaluations else {}
    return {
        **stage,
        "schedule": config.Optimizer.lr.name,
        "epochs": config.Global.epochs,
        "steps_per_epoch": curve.steps_per_epoch,
        **note,
        "rates": curve.marks,
    }


def _plotting() -> Any:
    """Return matplotlib's drawing functions, for pictures in files.

    Raises:
        MachineError: it is not installed.
    """
    try:
        import matplotlib
    except ImportError:
        raise MachineError('--out draws with matplotlib, which is not installed: pip install "ppcls[report]"') from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def draw(curves: Mapping[str, Any], path: Path) -> None:
    """Draw the learning rate over a run, stages one after the other, into a picture.

    Args:
        curves: of ``ppcls.engine.rates.schedule_points``, by stage.

    Raises:
        ConfigError: matplotlib has no such kind of picture.
    """
    pyplot = _plotting()
    figure, axes = pyplot.subplots(figsize=(8, 4), layout="constrained")
    begin = 0.0
    for name, curve in curves.items():
        _draw_curve(axes, curve, begin, name)
        begin += (curve.points[-1][0] + 1) / curve.steps_per_epoch
    axes.set(xlabel="epoch", ylabel="learning rate", xlim=(0, begin))
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    if len({curve.steps_per_epoch for curve in curves.values()}) == 1:
        steps = next(iter(curves.values())).steps_per_epoch
        above = axes.secondary_xaxis("top", functions=(lambda epoch: epoch * steps, lambda step: step / steps))
        above.set_xlabel("update")
    if list(curves) != [""]:
        axes.legend()
    try:
        figure.savefig(path, dpi=120)
    except ValueError as error:  # the suffix
        raise ConfigError(f"--out {path}: {error}") from None
    finally:
        pyplot.close(figure)


def _draw_curve(axes: Any, curve: Any, begin: float, name: str) -> None:
    steps = curve.steps_per_epoch
    axes.plot([begin + step / steps for step, _ in curve.points], [rate for _, rate in curve.points], label=name)
    for mark in curve.marks:
        if mark["at"] in ("end of the warm-up", "peak", "last update"):
            _annotate(axes, mark, begin + mark["step"] / steps)


def _annotate(axes: Any, mark: Mapping[str, Any], epoch: float) -> None:
    axes.plot([epoch], [mark["lr"]], "o", color="black", markersize=4)
    last = mark["at"] == "last update"
    axes.annotate(
        f"{mark['at']}: {mark['lr']:.3g}",
        (epoch, mark["lr"]),
        xytext=(-6 if last else 6, 8 if last else 4),
        textcoords="offset points",
        ha="right" if last else "left",
        fontsize=9,
    )


COMMAND = Command("schedule", "show the learning rate over the run of a recipe, and draw it", _add_options, _run)
