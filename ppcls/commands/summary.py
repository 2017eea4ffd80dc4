"""``ppcls summary``."""

from __future__ import annotations

import argparse
import sys
from typing import Any, Dict

from ppcls.commands.command import Command, add_import_option, import_components, import_paddle


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    parser.add_argument(
        "--image-size", type=int, nargs="+", metavar="N", help="one side, or height and width, in pixels"
    )
    parser.add_argument("--class-num", type=int, help="default: that of the public weights; 0: no classifier")
    add_import_option(parser)


def _run(options: argparse.Namespace) -> int:
    import_paddle()
    import_components(options)
    from ppcls.arch import BACKBONES, spec
    from ppcls.arch.summary import summary
    from ppcls.weights import create_model

    imported = options.name in BACKBONES and BACKBONES[options.name].source is not None
    facts = None if imported else spec(options.name)
    size = options.image_size or [224 if facts is None else facts.image_size]
    if len(size) > 2 or min(size) < 1:
        print("error: --image-size takes one side, or height and width, in pixels", file=sys.stderr)
        return 2
    height, width = size[0], size[-1]
    # Architectures whose weights depend on the size of the image are built for this one.
    sized: Dict[str, Any] = {"image_size": [height, width]} if BACKBONES[options.name].takes("image_size") else {}
    default = 1000 if facts is None else facts.class_num
    class_num = default if options.class_num is None else options.class_num  # 0: without the classifier
    model = create_model(options.name, class_num=class_num, **sized)
    print(summary(model, (3, height, width)))
    return 0


COMMAND = Command(
    "summary", "show the layers of an architecture: shapes, parameters, multiply-adds", _add_options, _run
)
