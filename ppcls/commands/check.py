"""``ppcls check``, and its earlier name ``ppcls check-data``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Dict, Mapping, Tuple

from ppcls.commands import ending
from ppcls.commands.command import Command, add_recipe_options, changes, load_recipe, refuse_recipe_options, to_json
from ppcls.errors import ConfigError
from ppcls.utils.paths import user_path


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.usage = "%(prog)s DATA [options]\n       %(prog)s -c RECIPE [-o KEY=VALUE ...] [options]"
    data_help = "folder with one folder of images per class, or with train and val; list file; folder of tar shards"
    parser.add_argument("data", metavar="DATA", nargs="?", help=data_help)
    add_recipe_options(parser, required=False)
    out_help = "for the page and the JSON file (default: this folder; with -c: data_report)"
    parser.add_argument("--out", metavar="FOLDER", help=out_help)
    parser.add_argument("--workers", type=int, metavar="N", help="processes (default: one per core)")


def _run(options: argparse.Namespace) -> int:
    if (options.data is None) == (options.config is None):
        raise ConfigError("give either DATA, such as a folder with one folder of images per class, or -c RECIPE")
    from ppcls.data.inspection.checking import summarize_errors

    report, page, following = _check_recipe(options) if options.data is None else _check_data(options)
    print(to_json({key: report[key] for key in ("ok", "images", "counts")}))
    if not report["ok"]:
        print(summarize_errors(report), file=sys.stderr)
    images = sum(report["images"].values())
    where = {"page" if report["ok"] else "all of them": page, "the same as JSON": page.with_suffix(".json")}
    ending.say(f"checked {images:,} images: {_verdict(report)}", where, following)
    return 0 if report["ok"] else 1


def _check_data(options: argparse.Namespace) -> Tuple[Dict[str, Any], Path, str]:
    """Check DATA; return the report, where the page is, and the next command."""
    refuse_recipe_options(options, "of a recipe, and DATA has none")
    from ppcls.data.folder_layout import find_layout
    from ppcls.data.inspection.check_files import check_layout
    from ppcls.data.inspection.checking import ERRORS
    from ppcls.utils.logging import get_logger

    layout = find_layout(options.data)
    for note in layout.notes:
        get_logger().info("%s: %s", options.data, note)
    path = user_path(options.data)
    name = path.absolute().resolve().stem if path.is_file() else path.absolute().resolve().name
    page = user_path(options.out or ".") / f"{name or 'data'}_check.html"
    again = ending.command("ppcls", "check", path)
    following = again if layout.shortage is not None else ending.command("ppcls", "train", path)
    if layout.is_multilabel:  # for a recipe of one's own
        following = ending.command("ppcls", "show-data", path)
    report = check_layout(layout, page, following, options.workers)
    if layout.shortage is not None and not layout.is_multilabel:
        get_logger().warning("`ppcls train` would refuse %s", layout.shortage)
    # `ppcls train` leaves out what cannot be read, and nothing else.
    wrong = {kind for kind in report["counts"] if kind in ERRORS and kind != "broken"}
    all_broken = report["counts"].get("broken") == sum(report["images"].values())
    return report, page, again if wrong or all_broken else following


def _check_recipe(options: argparse.Namespace) -> Tuple[Dict[str, Any], Path, str]:
    """Check the data of ``-c``; return the report, where the page is, and the next command."""
    config = load_recipe(options)
    from ppcls.engine.inspection import check_data

    target = user_path(options.out or "data_report")
    report = check_data(config, target, options.workers)
    changed = [word for change in changes(options) for word in ("-o", change)]
    verb = "train" if report["ok"] else "check"
    return report, target / "report.html", ending.command("ppcls", verb, "-c", options.config, *changed)


def _verdict(report: Mapping[str, Any]) -> str:
    """Return the numbers of what was found, mistakes first."""
    from ppcls.data.inspection.checking import ERRORS, numbered

    found = [(kind in ERRORS, numbered(kind, count)) for kind, count in report["counts"].items()]
    if not found:
        return "nothing wrong was found"
    texts = [text for _, text in sorted(found, key=lambda item: not item[0])]
    return ("" if not report["ok"] else "no errors; worth a look: ") + "; ".join(texts)


_HELP = "find broken, duplicate, mislabelled and unusual images of a folder or recipe"
COMMAND = Command("check", _HELP, _add_options, _run)
ALIAS = Command("check-data", "the former name of check", _add_options, _run)
