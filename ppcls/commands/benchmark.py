"""``ppcls benchmark``."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any, List, Sequence

from ppcls.commands.command import Command, add_import_option, import_components, import_paddle
from ppcls.errors import ConfigError

_MODES = ("infer", "train")  # in the order of the memory that they need: the largest so far is what is known


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="an architecture, see ppcls models")
    parser.add_argument("--mode", choices=_MODES, help="default: both")
    parser.add_argument("--batch-size", type=_positive, default=8, metavar="N", help="default: 8")
    parser.add_argument(
        "--image-size", type=_positive, nargs="+", metavar="N", help="one side, or height and width, in pixels"
    )
    parser.add_argument("--threads", type=_positive, metavar="N", help="CPU threads; default: all usable cores")
    parser.add_argument("--amp", action="store_true", help="mixed precision, as AMP: {level: O1} in a recipe")
    parser.add_argument("--device", default="auto", help="as Global.device; default: a GPU where there is one")
    parser.add_argument("--seconds", type=_seconds, default=5.0, help="how long each mode is measured; default: 5")
    add_import_option(parser)


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


def _run(options: argparse.Namespace) -> int:
    if options.image_size is not None and len(options.image_size) > 2:
        raise ConfigError("--image-size: give one side, or height and width, in pixels")
    _set_threads(options.threads)
    import_paddle()
    import_components(options)
    from ppcls.arch import BACKBONES, spec
    from ppcls.engine import speed
    from ppcls.utils import memory

    imported = options.name in BACKBONES and BACKBONES[options.name].source is not None
    size = options.image_size or [224 if imported else spec(options.name).image_size]
    settings = speed.SpeedOptions(
        options.name, options.batch_size, (size[0], size[-1]), options.amp, device=options.device
    )
    before = memory.process_memory()
    modes = [options.mode] if options.mode else _MODES
    rows = [_row(mode, speed.measure(settings, mode, options.seconds, before)) for mode in modes]
    print(f"{speed.describe(settings)}\n\n{_table(rows)}")
    return 0


def _set_threads(threads: Any) -> None:
    """Let Paddle start this many threads.

    Raises:
        ConfigError: Paddle was imported before, with another number.
    """
    from ppcls.utils import environment

    if threads is None or os.environ.get(environment.THREADS) == str(threads):
        return
    if threads > environment.MAX_THREADS:
        raise ConfigError(f"--threads {threads}: at most {environment.MAX_THREADS}")
    if "paddle" in sys.modules:
        raise ConfigError(
            f"--threads {threads}: Paddle has been imported already; set {environment.THREADS} before importing it"
        )
    os.environ[environment.THREADS] = str(threads)


def _row(mode: str, measured: Any) -> List[str]:
    memory = "unknown" if measured.memory_mib is None else f"{measured.memory_mib:.0f} MiB"
    return [
        mode,
        f"{measured.images_per_second:.4g}",
        f"{measured.median * 1000:.4g}",
        f"{measured.spread:.1%}",
        str(len(measured.seconds)),
        memory,
    ]


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Return aligned columns: the median step, half of the distance between the quartiles, memory of the model."""
    header = ["mode", "images/s", "ms per step", "spread", "steps", "peak memory"]
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in [header, *rows])


COMMAND = Command("benchmark", "measure how fast an architecture is trained and evaluated here", _add_options, _run)
