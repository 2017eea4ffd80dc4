"""``ppcls compare``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ppcls.commands import ending
from ppcls.commands.command import Command, add_import_option, exit_on_sigterm, import_paddle, print_result
from ppcls.commands.trained_model import MODEL_HELP, add_machine_options, load, prepare_machine
from ppcls.errors import ConfigError
from ppcls.utils.paths import user_path


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", metavar="A", help=MODEL_HELP)
    parser.add_argument("b", metavar="B", help="another one")
    data_help = (
        "folder with one folder of images per class, list file, folder of shards, or a recipe (its DataLoader.Eval); "
        "default: the evaluation data of A or, if A is an export, of B"
    )
    parser.add_argument("--data", metavar="DATA", help=data_help)
    out_help = "the page, .html; the same as .json is written beside it (default: compare.html)"
    parser.add_argument("--out", metavar="FILE", type=Path, default=Path("compare.html"), help=out_help)
    add_import_option(parser)
    add_machine_options(parser)


def _run(options: argparse.Namespace) -> int:
    prepare_machine(options)
    from ppcls.inference import results

    out = user_path(options.out)
    if out.suffix.lower() != ".html":
        raise ConfigError(f"--out={options.out}: must end with .html; the JSON file is written beside it")
    results.check_folder(out)
    import_paddle()
    from ppcls.analysis import compare_page, labelled_data
    from ppcls.analysis.comparing import compare
    from ppcls.utils import atomic, json_text

    predictors = [load(options, model) for model in (options.a, options.b)]
    dataset, where = labelled_data.open_data(options.data, predictors)
    with exit_on_sigterm():
        comparison = compare(predictors, (options.a, options.b), dataset, where)
        result = comparison.to_json()
        page = compare_page.render(comparison, dataset)
        atomic.write_text(out, page)
        atomic.write_text(out.with_suffix(".json"), json_text.dumps(result, indent=1, ensure_ascii=False) + "\n")
    print_result({key: value for key, value in result.items() if key not in ("differences", "broken")})
    first, second = (item["accuracy"] for item in comparison.accuracies)
    following = ending.command("ppcls", "serve", user_path(options.b if second > first else options.a))
    ending.say(_describe(comparison), {"page": out, "all differences": out.with_suffix(".json")}, following)
    return 2 if comparison.broken else 0


def _describe(comparison: Any) -> str:
    """Return the accuracies, and what the test says."""
    first, second = (f"{100 * item['accuracy']:.1f} %" for item in comparison.accuracies)
    return f"compared on {len(comparison.images):,} images: A {first}, B {second}. {comparison.verdict}"


COMMAND = Command("compare", "compare two models on the same labelled images", _add_options, _run)
