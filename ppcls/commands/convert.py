"""``ppcls convert``."""

from __future__ import annotations

import argparse
from pathlib import Path

from ppcls.commands import ending
from ppcls.commands.command import (
    Command,
    add_import_option,
    add_weight_options,
    import_components,
    import_paddle,
    to_json,
)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SRC", help="weight file; its format is detected")
    parser.add_argument("target", metavar="DST", help="file to write")
    parser.add_argument("--to", choices=("torch", "safetensors", "pdparams"), help="format; default: DST's suffix")
    parser.add_argument("--model", metavar="NAME", help="architecture; default: detected")
    parser.add_argument(
        "--argument",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="an argument of the architecture, such as dim=64",
    )
    parser.add_argument(
        "--naming",
        choices=("official", "timm", "ppcls"),
        help="tensor names and layout of the file; default: official for torch, else ppcls",
    )
    add_weight_options(parser)
    add_import_option(parser)


def _run(options: argparse.Namespace) -> int:
    import_paddle()
    import_components(options)
    from ppcls.weights.convert import convert_weights, parse_arguments
    from ppcls.weights.wording import OF_CONVERT, reworded

    values = {key: getattr(options, key) for key in ("to", "model", "naming")}
    arguments = parse_arguments(options.argument)
    values.update(key=options.weights_key, image_size=options.weights_image_size)
    with reworded(OF_CONVERT):
        result = convert_weights(options.source, options.target, arguments=arguments, **values)
    print(to_json(result))
    following = ending.command("ppcls", "train", "-c", "RECIPE", "-o", f"Global.pretrained_model={result['target']}")
    ending.say(f"converted {result['tensors']:,} tensors", {"weights": Path(result["target"])}, following)
    return 0


COMMAND = Command(
    "convert", "convert a weight file of Paddle, safetensors or PyTorch into any of these", _add_options, _run
)
