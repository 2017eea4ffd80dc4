"""``ppcls models``."""

from __future__ import annotations

import argparse
import sys

from ppcls.commands.command import Command, import_paddle, to_json


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pattern", nargs="?", default="*", metavar="PATTERN", help="such as 'ConvMixer*'")
    parser.add_argument("--json", action="store_true", help="everything that is known, as JSON")


def _run(options: argparse.Namespace) -> int:
    import_paddle()
    from ppcls.arch.catalog import catalog, catalog_text

    rows = catalog(options.pattern)
    if not rows:
        print(f"error: no architecture matches {options.pattern!r}; `ppcls models` lists all", file=sys.stderr)
        return 2
    print(to_json(rows) if options.json else catalog_text(rows))
    return 0


COMMAND = Command(
    "models",
    "list the architectures: parameters, multiply-adds, input size, claimed accuracy, weights",
    _add_options,
    _run,
)
