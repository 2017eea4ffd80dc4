"""``ppcls similar``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Dict

from ppcls.commands import ending
from ppcls.commands.command import Command, exit_on_sigterm, print_result
from ppcls.commands.trained_model import add_model_options, count, load, prepare_machine
from ppcls.errors import ConfigError
from ppcls.utils.paths import user_path

_SUFFIXES = (".html", ".json")


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="RUN", help="folder of a run, or a checkpoint: exports give no features")
    parser.add_argument("image", metavar="IMAGE", help="the photo that others are compared with, or its address")
    parser.add_argument("folder", metavar="FOLDER", help="the photos to search: a folder, or a pattern")
    parser.add_argument("--topk", metavar="N", type=count, default=12, help="how many photos (default: 12)")
    out_help = "a page with pictures (.html) or the list (.json); without it the list is printed"
    parser.add_argument("--out", metavar="FILE", type=Path, help=out_help)
    cache_help = "keep the features in this .npz file: a later search computes those of new photos only"
    parser.add_argument("--cache", metavar="FILE", type=Path, help=cache_help)
    add_model_options(parser)


def _run(options: argparse.Namespace) -> int:
    prepare_machine(options)
    from ppcls.inference import inputs, results

    if options.out is not None and options.out.suffix.lower() not in _SUFFIXES:
        raise ConfigError(f"--out={options.out}: must end with {' or '.join(_SUFFIXES)}")
    if options.cache is not None and options.cache.suffix.lower() != ".npz":
        raise ConfigError(f"--cache={options.cache}: must end with .npz")
    for path in (options.out, options.cache):
        if path is not None:
            results.check_folder(path)
    query = inputs.expand_one(options.image, options.image)
    sources = inputs.collect(options.folder)
    predictor = load(options, options.model)
    predictor.feature_run()  # an export has none: said before all photos are read
    with exit_on_sigterm():
        result = _search(predictor, query, sources, options)
    return 2 if result["broken"] else 0


def _search(predictor: Any, query: Any, sources: Any, options: argparse.Namespace) -> Dict[str, Any]:
    """Write or print the nearest photos; return what is said about them."""
    from ppcls.analysis import similar, similar_page
    from ppcls.errors import DataError
    from ppcls.utils import atomic, json_text
    from ppcls.utils.logging import get_logger

    ((_, features),) = predictor.features([query])
    if isinstance(features, DataError):
        raise DataError(f"{query.name}: {features}")
    cache = similar.FeatureCache(None if options.cache is None else user_path(options.cache), predictor)
    all_features = cache.features(sources, "features")
    names = [source.name for source in sources]
    broken = [(name, str(values)) for name, values in zip(names, all_features) if isinstance(values, DataError)]
    for name, error in broken:
        get_logger().error("%s: %s", name, error)
    others = [(name, values) for name, values in zip(names, all_features) if not _is_same_file(name, query)]
    found = similar.nearest(features, [values for _, values in others], [name for name, _ in others], options.topk)
    result = {
        "query": query.name,
        "nearest": [{"file_name": item.name, "similarity": round(item.similarity, 5)} for item in found],
        "broken": [{"file_name": name, "error": error} for name, error in broken],
    }
    if options.out is None:
        print_result(result)
        return result
    out = user_path(options.out)
    is_page = out.suffix.lower() == ".html"
    text = similar_page.render(query, found, broken, options.folder) if is_page else _json(result, json_text)
    atomic.write_text(out, text)
    following = ending.command("ppcls", "explain", user_path(options.model), options.image)
    reached = f"found the {len(found):,} nearest of {len(others):,} photos"
    ending.say(reached, {"page" if is_page else "list": out}, following)
    return result


def _json(result: Dict[str, Any], json_text: Any) -> str:
    return str(json_text.dumps(result, indent=1, ensure_ascii=False)) + "\n"


def _is_same_file(name: str, query: Any) -> bool:
    """Return whether a photo of the folder is the query itself, which is no answer."""
    if not isinstance(query.data, Path):
        return name == query.name
    path = Path(name)
    return path.exists() and path.samefile(query.data)


COMMAND = Command(
    "similar", "find the photos of a folder that a model considers most similar to one", _add_options, _run
)
