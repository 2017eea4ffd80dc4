"""``ppcls train``."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

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
from ppcls.errors import ConfigError
from ppcls.utils.paths import user_path

_FOLDER_OPTIONS = ("model", "epochs", "image_size", "pretrained", "output", "no_flip")


def _add_options(parser: argparse.ArgumentParser) -> None:
    folder_help = "images to train with, instead of -c: class folders, train/ and val/, lists or tar shards"
    parser.add_argument("folder", metavar="FOLDER", nargs="?", help=folder_help)
    add_recipe_options(parser, required=False)
    chosen = parser.add_argument_group("with FOLDER, in place of what is chosen")
    chosen.add_argument("--model", metavar="NAME", help="an architecture of `ppcls models`")
    chosen.add_argument("--epochs", type=int, metavar="N")
    chosen.add_argument("--image-size", type=int, metavar="PIXELS", help="side of the images")
    pretrained_help = (
        "weights to start from: a file, a run, auto (public ones that are in the cache) or none; default: auto"
    )
    chosen.add_argument("--pretrained", metavar="PATH", help=pretrained_help)
    chosen.add_argument("--no-flip", action="store_true", help="train without mirror images, as for photos of text")
    chosen.add_argument("--output", metavar="FOLDER", help="the run's folder (default: output/ and FOLDER's name)")
    add_weight_options(parser)
    profiler_help = (
        "profile some batches and end: 'batch_range=[10, 20]; profile_path=FOLDER; exit_on_finished=false; ...'"
    )
    parser.add_argument("-p", "--profiler_options", metavar="KEY=VALUE;...", help=profiler_help)
    profile_help = "write profile.html, which shows where the time of these steps goes; default: 10:20"
    parser.add_argument("--profile", metavar="FIRST:END", nargs="?", const="10:20", help=profile_help)


def _run(options: argparse.Namespace) -> int:
    _check_options(options)
    plan = None if options.folder is None else _plan(options)
    config = load_recipe(options) if plan is None else plan.config
    callbacks = _callbacks(config, options)
    from ppcls.engine import stages
    from ppcls.engine.profiling import ProfilingDoneError
    from ppcls.engine.supplied import Supplied

    with contextlib.suppress(ProfilingDoneError):
        result = stages.train(config, options.stage, Supplied(callbacks=callbacks))
        if plan is not None:
            plan.finish(result.best)
        print_result(result.summary())
        _say_ending(result, config, options)
    return 0


def _check_options(options: argparse.Namespace) -> None:
    """Refuse options that do not belong together.

    Raises:
        ConfigError: there are some.
    """
    given = [f"--{name.replace('_', '-')}" for name in _FOLDER_OPTIONS if getattr(options, name)]
    if (options.folder is None) == (options.config is None):
        what = "both are given" if options.folder else "neither is given"
        if options.folder and "=" in options.folder:
            what += f" (changes of the recipe follow -o: -o {options.folder})"
        raise ConfigError(f"train by a recipe, -c RECIPE, or with a FOLDER of images; {what}")
    if options.folder is None and given:
        raise ConfigError(f"{', '.join(given)}: only for `ppcls train FOLDER`; with a recipe, use -o")
    if options.folder is not None and (options.stage or options.weights_key or options.weights_image_size):
        raise ConfigError("--stage, --weights-key and --weights-image-size are for -c RECIPE")
    if options.profile is not None and options.profiler_options is not None:
        raise ConfigError("--profile and --profiler_options cannot be used together")


def _plan(options: argparse.Namespace) -> Any:
    """Return the plan of a run with a folder of images."""
    import_paddle()
    import_components(options)
    from ppcls.starter.plan import default_output, make_plan
    from ppcls.starter.record import Request

    folder = user_path(options.folder)
    request = Request(
        folder=str(folder.resolve()),
        model=options.model,
        epochs=options.epochs,
        image_size=options.image_size,
        pretrained=options.pretrained,
        flip=not options.no_flip,
        changes=changes(options),
    )
    run = user_path(options.output) if options.output else default_output(folder)
    return make_plan(folder, request, run)


def _callbacks(config: Any, options: argparse.Namespace) -> List[Any]:
    """Return the callback that writes the report, and those that options ask for."""
    from ppcls.report.callback import ReportCallback

    callbacks: List[Any] = [ReportCallback.of(config)]
    if options.profile is not None:
        from ppcls.report.step_profile import StepProfile, parse_steps

        callbacks.append(StepProfile(parse_steps(options.profile)))
    if options.profiler_options is not None:
        from ppcls.engine.profiling import BatchProfiler, ProfilerOptions

        callbacks.append(BatchProfiler(ProfilerOptions.parse(options.profiler_options)))
    return callbacks


def _say_ending(result: Any, config: Any, options: argparse.Namespace) -> None:
    """Say what was reached, where it is, and what to do next."""
    output = Path(config.Global.output_dir)
    where: Dict[str, Any] = {}
    if result.weights is not None:
        where["best weights" if result.weights.name == "best_model" else "weights"] = f"{result.weights}.pdparams"
    report = output / "report.html"
    where["report" if report.exists() else "log"] = report if report.exists() else result.run_dir / "train.log"
    if result.trained:
        ending.say(f"trained: {_reached(result.best)}", where, ending.command("ppcls", "eval", output))
        return
    reached = f"was finished before, nothing was trained: {_reached(result.best)}"
    ending.say(reached, where, _to_train_more(config, options))


def _reached(best: Dict[str, Any]) -> str:
    """Return "98.20 % top-1 (epoch 12)", of the best epoch."""
    name, value = _metric(best)
    if name is None:
        return f"{best['epoch']} epochs, nothing was evaluated"
    shown = f"{100 * value:.2f} % top-{name[3:]}" if name.startswith("top") else f"{name} {value:.4f}"
    return f"{shown} (epoch {best['epoch']})"


def _to_train_more(config: Any, options: argparse.Namespace) -> str:
    """Return how to train a finished run longer, and how to train another one."""
    if options.folder is not None:
        longer = ending.command("ppcls", "train", "-c", Path(config.Global.output_dir) / "recipe.yaml")
        return f"{longer} -o Global.epochs=N to train it longer, or this command with --output NEW to train anew"
    from ppcls.config.schema import AUTO

    longer = "" if config.stages else "-o Global.epochs=N to train it longer, or with "
    is_auto = options.stage is not None or bool(config.stages) or config.Global.checkpoints == AUTO
    anew = "Global.output_dir=NEW" if is_auto else "Global.checkpoints=null"
    return f"this command with {longer}-o {anew} to train anew"


def _metric(best: Dict[str, Any]) -> Tuple[Optional[str], float]:
    return next(((name, value) for name, value in best.items() if name != "epoch"), (None, 0.0))


COMMAND = Command(
    "train",
    "train a model with a FOLDER of images or by a recipe; the same command continues",
    _add_options,
    _run,
)
