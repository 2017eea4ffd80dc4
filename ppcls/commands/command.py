"""The class of commands, and what they share.

`ppcls --help` imports every command's module, so these import what only their run needs inside functions.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import re
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional

from ppcls.errors import ConfigError


class Command(NamedTuple):
    """A command of ``ppcls``.

    Attributes:
        name: as typed.
        help: one line.
        add_options: adds its options to a parser; ``--debug`` is added for all.
        run: runs the command; returns the process's exit code.
    """

    name: str
    help: str
    add_options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def add_recipe_options(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Add ``-c RECIPE`` and ``-o KEY=VALUE``."""
    recipe_help = "recipe file, or the name of a shipped one (quick_start/digits_ConvMixer)"
    override_help = "change of the recipe, such as Global.epochs=3 or DataLoader.Train.sampler.batch_size=64"
    parser.add_argument("-c", "--config", metavar="RECIPE", required=required, help=recipe_help)
    parser.add_argument(
        "-o", "--override", metavar="KEY=VALUE", action="append", nargs="+", default=[], help=override_help
    )
    parser.add_argument("--stage", metavar="NAME", help="one of the recipe's Stages")
    add_import_option(parser)


def add_weight_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--weights-key`` and ``--weights-image-size``."""
    key_help = "which weights of a file that holds several, such as teacher or state_dict.model"
    size_help = "image size in pixels that weights without a recipe were made for (gMLP)"
    parser.add_argument("--weights-key", metavar="KEY", help=key_help)
    parser.add_argument("--weights-image-size", metavar="HxW", type=_image_size, help=size_help)


def _image_size(text: str) -> List[int]:
    match = re.fullmatch(r"([1-9]\d{0,5})(?:[x,]([1-9]\d{0,5}))?", text.replace(" ", ""))
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size: give HEIGHTxWIDTH, such as 224x320, or one side")
    return [int(match[1]), int(match[2] or match[1])]


def weight_options(options: argparse.Namespace) -> Dict[str, Any]:
    """Return the values of ``--weights-key`` and ``--weights-image-size`` that were given, by option."""
    given = {name: getattr(options, name, None) for name in ("weights_key", "weights_image_size")}
    return {f"--{name.replace('_', '-')}": value for name, value in given.items() if value is not None}


def add_import_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--import FILE``."""
    import_help = "file (my_parts.py) or module that registers components of your own; may be repeated"
    parser.add_argument("--import", metavar="FILE", dest="imports", action="append", default=[], help=import_help)


def refuse_recipe_options(options: argparse.Namespace, why: str) -> None:
    """Refuse the options of ``add_recipe_options`` but ``-c`` where there is no recipe.

    Args:
        why: what they are, the end of the message.

    Raises:
        ConfigError: one is given.
    """
    for option, value in (("-o", options.override), ("--stage", options.stage), ("--import", options.imports)):
        if value:
            raise ConfigError(f"{option}: is {why}; leave it out, or give -c RECIPE")


def import_components(options: argparse.Namespace) -> None:
    """Import what ``--import`` names. If Paddle will be imported, it has to be imported before.

    Raises:
        ConfigError: something cannot be imported.
    """
    from ppcls.registry.importing import import_from

    for target in options.imports:
        import_from(target, f"--import {target}", Path())


def load_recipe(options: argparse.Namespace) -> Any:
    """Return the recipe of ``-c`` and ``-o``, checked.

    Raises:
        ConfigError: every mistake in it.
    """
    import_paddle()
    import_components(options)
    from ppcls import engine

    return engine.load_config(options.config, changes(options))


def changes(options: argparse.Namespace) -> List[str]:
    """Return the ``Key.sub=value`` changes of all ``-o``, in order, then those of the options for weights."""
    from ppcls.utils import json_text

    given = weight_options(options).items()
    return [
        *(change for group in options.override for change in group),
        *(f"Global.{option[2:].replace('-', '_')}={json_text.dumps(value)}" for option, value in given),
    ]


def load_for_weights(options: argparse.Namespace) -> Any:
    """Return the recipe with which weights are evaluated, used and exported: that of a stage, if there are any.

    Raises:
        ConfigError: every mistake in it, or there is no such stage.
    """
    config = load_recipe(options)
    from ppcls.engine import stages

    return stages.evaluation_recipe(config, options.stage)


def import_paddle() -> None:
    """Import Paddle, before all other heavy imports, as the number of threads is chosen then."""
    from ppcls.utils import environment

    if "paddle" in sys.modules:
        return
    environment.import_paddle()
    # Its objects live as long as the process: without this, each full garbage collection would visit all of them.
    gc.freeze()


def print_result(value: Any) -> None:
    """Print a result as JSON, once if there are several processes."""
    from ppcls.utils import distributed

    if distributed.is_main():
        print(to_json(value))


def to_json(value: Any) -> str:
    """Return ``value`` as JSON to print; a list has one item per line."""
    from ppcls.utils import json_text

    if isinstance(value, list):
        return "[" + ",\n ".join(json_text.dumps(item, ensure_ascii=False) for item in value) + "]"
    return json_text.dumps(value, indent=1, ensure_ascii=False)


@contextlib.contextmanager
def exit_on_sigterm() -> Iterator[None]:
    """Let SIGTERM end the command as Ctrl-C does, so that no half-written file is left behind.

    Enter it after the model is loaded: Paddle sets a handler of its own when it is imported.
    """

    def end(number: int, _: Optional[FrameType]) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
