"""``ppcls config``."""

from __future__ import annotations

import argparse
import sys

from ppcls.commands.command import Command, add_recipe_options, import_components, import_paddle, load_recipe, to_json
from ppcls.errors import ConfigError


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_recipe_options(parser, required=False)
    parser.add_argument("--list", action="store_true", help="list the shipped recipes")
    parser.add_argument("--json-schema", action="store_true", help="print the JSON schema for editors")


def _run(options: argparse.Namespace) -> int:
    if options.list:
        if options.imports:
            raise ConfigError("--import: --list names the shipped recipes, which need no components of yours")
        from ppcls.config.find import recipes

        print("\n".join(recipes()))
        return 0
    if options.json_schema:
        import_paddle()
        import_components(options)
        print(schema_text(), end="")
        return 0
    if not options.config:
        print("error: give -c RECIPE, --list or --json-schema", file=sys.stderr)
        return 2
    from ppcls.config.show import to_yaml

    config = load_recipe(options)
    from ppcls.engine.checks import require_training_sizes
    from ppcls.engine.class_count import for_display

    chosen = config if options.stage is None else config.stage(options.stage)
    require_training_sizes(chosen)
    shown = for_display(chosen)
    print(to_yaml(shown, imports=True), end="")
    return 0


def schema_text() -> str:
    """Return the text of ``configs/schema.json``."""
    import_paddle()
    from ppcls.config.json_schema import json_schema
    from ppcls.engine.components import REGISTRIES

    return to_json(json_schema(REGISTRIES)) + "\n"


COMMAND = Command("config", "show the resolved recipe and where each value came from", _add_options, _run)
