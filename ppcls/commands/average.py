"""``ppcls average``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, List, Tuple

from ppcls.commands import ending
from ppcls.commands.command import Command, add_import_option, import_components, import_paddle, print_result
from ppcls.errors import ConfigError
from ppcls.utils.paths import user_path


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.usage = "%(prog)s RUN [--last N] [options]\n       %(prog)s CHECKPOINT CHECKPOINT ... [options]"
    run_help = "folder of a run, or two checkpoints or more (PREFIX or PREFIX.pdparams)"
    parser.add_argument("run", metavar="RUN", nargs="+", help=run_help)
    parser.add_argument("--last", metavar="N", type=int, help="average the last N epoch_N checkpoints (default: all)")
    parser.add_argument("--stage", metavar="NAME", help="stage of the run (default: the last one)")
    out_help = "prefix of the averaged checkpoint (default: 'averaged' in the folder of the first one)"
    parser.add_argument("--out", metavar="PREFIX", help=out_help)
    parser.add_argument("--keep", action="store_true", help="write it even if other weights are better")
    override_help = "change of the run's recipe, such as Global.device=cpu"
    parser.add_argument(
        "-o", "--override", metavar="KEY=VALUE", action="append", nargs="+", default=[], help=override_help
    )
    add_import_option(parser)


def _run(options: argparse.Namespace) -> int:
    if options.last is not None and options.last < 2:
        raise ConfigError(f"--last {options.last}: an average needs two checkpoints or more")
    import_paddle()
    import_components(options)
    from ppcls.tuning import averaging

    prefixes, others = _checkpoints(options)
    target = user_path(options.out) if options.out else prefixes[0].parent / averaging.NAME
    changes = [change for group in options.override for change in group]
    result = averaging.average(prefixes, others, target, options.keep, changes)
    print_result(
        {
            "averaged": [str(prefix) for prefix in result.checkpoints],
            "batch_norms": {"recomputed": result.batch_norms, "training_images": result.images},
            "metric": result.metric,
            "results": result.results,
            "kept": None if result.kept is None else str(result.kept),
        }
    )
    _say_ending(result)
    return 0


def _checkpoints(options: argparse.Namespace) -> Tuple[List[Path], List[Path]]:
    """Return the checkpoints to average, and those to compare with."""
    from ppcls.engine.checkpointing import run_dir
    from ppcls.tuning import averaging

    paths = [user_path(path) for path in options.run]
    if len(paths) == 1 and paths[0].is_dir():
        folder = run_dir.best_checkpoint(paths[0], options.stage).parent
        return averaging.last_epochs(folder, options.last), averaging.compared_checkpoints(folder)
    for name in ("last", "stage"):
        if getattr(options, name) is not None:
            raise ConfigError(
                f"--{name}: needs the folder of a run; the checkpoints that you name are averaged as they are"
            )
    prefixes = [run_dir.find_checkpoint(path) for path in paths]
    if len(paths) == 1:
        raise ConfigError(f"{options.run[0]}: one checkpoint; give the folder of a run, or two checkpoints or more")
    return prefixes, prefixes


def _say_ending(result: Any) -> None:
    """Say how the average compares."""
    values = ", ".join(f"{name} {result.metric} {values[result.metric]:.5f}" for name, values in result.results.items())
    if result.kept is None:
        ending.say(f"not kept, because other weights are better: {values} (--keep writes it anyway)", {})
        return
    verdict = "kept by --keep, although other weights are better" if result.is_worse else "kept"
    next_command = ending.command("ppcls", "infer", result.kept, "IMAGES")
    ending.say(f"{verdict}: {values}", {"averaged": f"{result.kept}.pdparams"}, next_command)


COMMAND = Command(
    "average", "average the weights of a run's last epochs, and compare the result with the best", _add_options, _run
)
