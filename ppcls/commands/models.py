"""``ppcls models``."""

from __future__ import annotations

import argparse
import fnmatch
import sys
from typing import Any, Dict, List

from ppcls.commands.command import Command, add_import_option, import_components, import_paddle, to_json


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pattern", nargs="?", default="*", metavar="PATTERN", help="such as 'ConvMixer*'")
    parser.add_argument("--json", action="store_true", help="print everything that is known, as JSON")
    add_import_option(parser)


def _run(options: argparse.Namespace) -> int:
    import_paddle()
    import_components(options)
    from ppcls.arch.catalog import catalog, catalog_text

    rows, imported = catalog(options.pattern), _imported(options.pattern)
    if not rows and not imported:
        print(f"error: no architecture matches {options.pattern!r}; `ppcls models` lists all", file=sys.stderr)
        return 2
    if options.json:
        print(to_json([*rows, *imported]))
        return 0
    if rows:
        print(catalog_text(rows))
    for row in imported:
        print(f"{row['name']:<18} from {row['imported']}")
    return 0


def _imported(pattern: str) -> List[Dict[str, Any]]:
    """Return the names and files of the architectures that other people's code has registered."""
    from ppcls.arch import BACKBONES

    entries = [BACKBONES[name] for name in BACKBONES.names() if fnmatch.fnmatchcase(name.lower(), pattern.lower())]
    return [{"name": entry.name, "imported": str(entry.source)} for entry in entries if entry.source is not None]


COMMAND = Command(
    "models",
    "list the architectures: parameters, multiply-adds, input size, claimed accuracy, weights",
    _add_options,
    _run,
)
