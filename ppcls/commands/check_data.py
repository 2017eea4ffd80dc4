"""``ppcls check-data``."""

from __future__ import annotations

import argparse
import sys

from ppcls.commands.command import Command, add_recipe_options, load_recipe, to_json
from ppcls.utils.paths import user_path


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_recipe_options(parser)
    parser.add_argument(
        "--out", default="data_report", metavar="FOLDER", help="for report.html and report.json (default: data_report)"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="processes (default: one per core)")


def _run(options: argparse.Namespace) -> int:
    config = load_recipe(options)
    from ppcls.data.inspection.checking import summarize_errors
    from ppcls.engine.inspection import check_data

    report = check_data(config, user_path(options.out), options.workers)
    print(to_json({key: report[key] for key in ("ok", "images", "counts")}))
    if not report["ok"]:
        print(f"{summarize_errors(report)}\nall of them: {options.out}/report.html", file=sys.stderr)
    return 0 if report["ok"] else 1


COMMAND = Command(
    "check-data", "read every image of a recipe: what is broken, doubled, mislabelled or unusual", _add_options, _run
)
