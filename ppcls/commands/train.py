"""``ppcls train``."""

from __future__ import annotations

import argparse
import contextlib
from typing import Any

from ppcls.commands.command import Command, add_recipe_options, add_weight_options, load_recipe, print_result


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_recipe_options(parser)
    add_weight_options(parser)
    profiler_help = (
        "profile some batches and end: 'batch_range=[10, 20]; profile_path=FOLDER; exit_on_finished=false; ...'"
    )
    parser.add_argument("-p", "--profiler_options", metavar="KEY=VALUE;...", help=profiler_help)
    profile_help = "write profile.html, a page about where the time of some steps goes; default: 10:20"
    parser.add_argument("--profile", metavar="FIRST:END", nargs="?", const="10:20", help=profile_help)


def _run(options: argparse.Namespace) -> int:
    config = load_recipe(options)
    if options.profile is not None:
        return _profile_steps(config, options)
    if options.profiler_options is not None:
        return _profile(config, options)
    from ppcls.engine import train
    from ppcls.engine.supplied import Supplied
    from ppcls.report.callback import ReportCallback

    print_result(train(config, options.stage, Supplied(callbacks=[ReportCallback.of(config)])).summary())
    return 0


def _profile_steps(config: Any, options: argparse.Namespace) -> int:
    """Train, and write a page about some steps."""
    from ppcls.engine import stages
    from ppcls.engine.supplied import Supplied
    from ppcls.errors import ConfigError
    from ppcls.report.callback import ReportCallback
    from ppcls.report.step_profile import StepProfile, parse_steps

    if options.profiler_options is not None:
        raise ConfigError("--profile and --profiler_options cannot be used together")
    supplied = Supplied(callbacks=[ReportCallback.of(config), StepProfile(parse_steps(options.profile))])
    print_result(stages.train(config, options.stage, supplied).summary())
    return 0


def _profile(config: Any, options: argparse.Namespace) -> int:
    """Train, and profile some batches. Training ends with the profile unless exit_on_finished=false."""
    from ppcls.engine import stages
    from ppcls.engine.profiling import BatchProfiler, ProfilerOptions, ProfilingDoneError
    from ppcls.engine.supplied import Supplied

    supplied = Supplied(callbacks=[BatchProfiler(ProfilerOptions.parse(options.profiler_options))])
    with contextlib.suppress(ProfilingDoneError):
        print_result(stages.train(config, options.stage, supplied).summary())
    return 0


COMMAND = Command(
    "train",
    "train a model, or continue with -o Global.checkpoints=PREFIX (auto: where it left off)",
    _add_options,
    _run,
)
