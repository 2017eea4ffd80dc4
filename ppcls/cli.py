"""The command line, ``ppcls COMMAND``; ``tools/*.py`` are doors to the same."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any, Callable, Dict, List, Optional, Sequence

from ppcls.errors import PpclsError

_RECIPE_HELP = "recipe file, or the name of a shipped one (quick_start/digits_ConvMixer)"
_OVERRIDE_HELP = "change of the recipe, such as Global.epochs=3 or DataLoader.Train.sampler.batch_size=64"


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run one command; return the process's exit code: 0, 2 for a user's error, 130 or 143 when interrupted."""
    debug = False
    try:
        options = _parser().parse_args(arguments)
        debug = options.debug
        from ppcls.utils import logging

        logging.setup()
        return int(_COMMANDS[options.command](options))
    except PpclsError as error:
        if debug:
            raise
        print(f"error: {error}" if error.exit_code == 2 else str(error), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `ppcls config ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # a disk that is full, a folder without permission
        if debug:
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror or error} (--debug shows where)", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ppcls", description="Vision MLPs on PaddlePaddle.")
    parser.add_argument("--version", action="version", version=f"ppcls {__import__('ppcls').__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, help_text in (
        ("train", "train a model, or continue with -o Global.checkpoints=PREFIX"),
        ("eval", "evaluate weights (-o Global.pretrained_model=PREFIX)"),
        ("infer", "predict images (-o Infer.infer_imgs=IMAGE_OR_FOLDER)"),
        ("export", "write an inference model (-o Global.pretrained_model=PREFIX)"),
        ("config", "show the resolved recipe and where each value came from"),
    ):
        command = commands.add_parser(name, help=help_text, description=help_text)
        _add_recipe_options(command, required=name != "config")
        if name == "config":
            command.add_argument("--list", action="store_true", help="list the shipped recipes")
            command.add_argument("--json-schema", action="store_true", help="print the JSON schema for editors")
    _add_model_options(commands)
    _add_convert_options(commands)
    return parser


def _add_model_options(commands: Any) -> None:
    help_text = "list the architectures: parameters, multiply-adds, input size, claimed accuracy, weights"
    parser = commands.add_parser("models", help=help_text, description=help_text)
    parser.add_argument("pattern", nargs="?", default="*", metavar="PATTERN", help="such as 'ConvMixer*'")
    parser.add_argument("--json", action="store_true", help="everything that is known, as JSON")
    parser.add_argument("--debug", action="store_true", help="show a traceback for errors")
    help_text = "show the layers of an architecture: shapes, parameters, multiply-adds"
    parser = commands.add_parser("summary", help=help_text, description=help_text)
    parser.add_argument("name", metavar="NAME")
    parser.add_argument(
        "--image-size", type=int, nargs="+", metavar="N", help="one side, or height and width, in pixels"
    )
    parser.add_argument("--class-num", type=int, help="default: that of the public weights")
    parser.add_argument("--debug", action="store_true", help="show a traceback for errors")


def _add_convert_options(commands: Any) -> None:
    help_text = "convert a weight file of Paddle, safetensors or PyTorch into any of these"
    parser = commands.add_parser("convert", help=help_text, description=help_text)
    parser.add_argument("source", metavar="SRC", help="weight file; its format is recognised")
    parser.add_argument("target", metavar="DST", help="file to write")
    parser.add_argument("--to", choices=("torch", "safetensors", "pdparams"), help="format; default: DST's suffix")
    parser.add_argument("--model", metavar="NAME", help="architecture; default: recognised")
    parser.add_argument("--argument", metavar="KEY=VALUE", action="append", default=[], help="of NAME, such as dim=64")
    parser.add_argument(
        "--naming",
        choices=("official", "timm", "ppcls"),
        help="whose tensor names and layout; default: official for torch, else ppcls",
    )
    parser.add_argument("--debug", action="store_true", help="show a traceback for errors")


def _add_recipe_options(parser: argparse.ArgumentParser, required: bool) -> None:
    parser.add_argument("-c", "--config", metavar="RECIPE", required=required, help=_RECIPE_HELP)
    parser.add_argument(
        "-o", "--override", metavar="KEY=VALUE", action="append", nargs="+", default=[], help=_OVERRIDE_HELP
    )
    parser.add_argument("--debug", action="store_true", help="show a traceback for errors")


def _load(options: argparse.Namespace) -> Any:
    _import_paddle()
    from ppcls import engine

    return engine.load_config(options.config, [change for group in options.override for change in group])


def _train(options: argparse.Namespace) -> int:
    config = _load(options)
    from ppcls.engine import train

    print(_json(train(config)))
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    config = _load(options)
    from ppcls.engine import evaluate

    print(_json(evaluate(config)))
    return 0


def _infer(options: argparse.Namespace) -> int:
    config = _load(options)
    from ppcls.engine import infer

    answers = infer(config)
    print(_json(answers))
    return 2 if any("error" in answer for answer in answers) else 0


def _export(options: argparse.Namespace) -> int:
    config = _load(options)
    from ppcls.engine import export

    print(_json(export(config)))
    return 0


def _models(options: argparse.Namespace) -> int:
    _import_paddle()
    from ppcls.arch.catalog import catalog, catalog_text

    rows = catalog(options.pattern)
    if not rows:
        print(f"error: no architecture matches {options.pattern!r}; `ppcls models` lists all", file=sys.stderr)
        return 2
    print(_json(rows) if options.json else catalog_text(rows))
    return 0


def _summary(options: argparse.Namespace) -> int:
    _import_paddle()
    from ppcls.arch import BACKBONES, create_model, spec
    from ppcls.arch.summary import summary

    facts = spec(options.name)
    size = options.image_size or [facts.image_size]
    if len(size) > 2 or min(size) < 1:
        print("error: --image-size takes one side, or height and width, in pixels", file=sys.stderr)
        return 2
    height, width = size[0], size[-1]
    # Architectures whose weights depend on the size of the image are built for this one.
    takes_size = any(parameter.name == "image_size" for parameter in BACKBONES[options.name].parameters())
    sized = {"image_size": [height, width]} if takes_size else {}
    model = create_model(options.name, class_num=options.class_num or facts.class_num, **sized)
    print(summary(model, (3, height, width)))
    return 0


def _import_paddle() -> None:
    from ppcls.utils import environment

    environment.import_paddle()  # first of all heavy imports: it chooses threads


def _convert(options: argparse.Namespace) -> int:
    _import_paddle()
    from ppcls.arch.weights.convert import convert_weights, parse_arguments

    chosen = {key: getattr(options, key) for key in ("to", "model", "naming")}
    arguments = parse_arguments(options.argument)
    print(_json(convert_weights(options.source, options.target, arguments=arguments, **chosen)))
    return 0


def _config(options: argparse.Namespace) -> int:
    if options.list:
        from ppcls.config.find import recipes

        print("\n".join(recipes()))
        return 0
    if options.json_schema:
        print(schema_text(), end="")
        return 0
    if not options.config:
        print("error: give -c RECIPE, --list or --json-schema", file=sys.stderr)
        return 2
    from ppcls.config.show import to_yaml

    print(to_yaml(_load(options)), end="")
    return 0


def schema_text() -> str:
    """Return the text of ``configs/schema.json``."""
    _import_paddle()
    from ppcls.config.json_schema import json_schema
    from ppcls.engine.registries import REGISTRIES

    return _json(json_schema(REGISTRIES)) + "\n"


def _json(value: Any) -> str:
    import json

    if isinstance(value, list):  # one image a line
        return "[" + ",\n ".join(json.dumps(item, ensure_ascii=False) for item in value) + "]"
    return json.dumps(value, indent=1, ensure_ascii=False)


_COMMANDS: Dict[str, Callable[[argparse.Namespace], int]] = {
    "train": _train,
    "eval": _evaluate,
    "infer": _infer,
    "export": _export,
    "config": _config,
    "models": _models,
    "summary": _summary,
    "convert": _convert,
}


def tool(command: str, arguments: Optional[List[str]] = None) -> int:
    """Run ``command`` as ``tools/<command>.py`` does."""
    return main([command, *(sys.argv[1:] if arguments is None else arguments)])
