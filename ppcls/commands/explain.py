"""``ppcls explain``."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import Any, Dict, List

from ppcls.commands import ending
from ppcls.commands.command import Command, exit_on_sigterm, print_result
from ppcls.commands.trained_model import IMAGES_HELP, MODEL_HELP, add_model_options, load, prepare_machine
from ppcls.errors import ConfigError
from ppcls.utils.folders import ensure_writable
from ppcls.utils.paths import user_path

_METHODS = ("auto", "grad-cam", "occlusion")  # those of ppcls.analysis.explaining, which needs numpy
_RESULTS = "heat_maps.json"


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.usage = (
        "%(prog)s MODEL IMAGES... [--class NAME] [--out FOLDER] [options]\n"
        "       %(prog)s MODEL --filters [--out FOLDER] [options]"
    )
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument("images", metavar="IMAGES", nargs="+", help=IMAGES_HELP).required = False
    class_help = "explain this class, by its name or id, instead of the best one of each image"
    parser.add_argument("--class", dest="label", metavar="NAME", help=class_help)
    method_help = "auto: grad-cam for runs and checkpoints, occlusion for exports"
    parser.add_argument("--method", choices=_METHODS, default="auto", help=method_help)
    filters_help = "also draw the filters of the first convolution and gMLP's projections over the positions"
    parser.add_argument("--filters", action="store_true", help=filters_help)
    out_help = "where the pictures and heat_maps.json go (default: heat_maps)"
    parser.add_argument("--out", metavar="FOLDER", type=Path, default=Path("heat_maps"), help=out_help)
    add_model_options(parser)


def _run(options: argparse.Namespace) -> int:
    prepare_machine(options)
    from ppcls.inference import inputs
    from ppcls.utils import atomic, json_text

    if not options.images and not options.filters:
        raise ConfigError(f"nothing to explain: give IMAGES or --filters (ppcls explain {options.model} IMAGES...)")
    if not options.images and options.label is not None:
        raise ConfigError(
            "--class: chooses what to explain in images, and there are none; leave it out, or give IMAGES"
        )
    sources = inputs.collect(options.images) if options.images else []
    folder = user_path(options.out)
    ensure_writable(folder, f"--out={folder}", "choose another folder with --out")
    predictor = load(options, options.model)
    if options.filters:
        _draw_filters(predictor, options.model, folder)
    if not sources:
        following = ending.command("ppcls", "explain", user_path(options.model), "IMAGES")
        ending.say(f"drew the filters of {options.model}", {"pictures": folder}, following)
        return 0
    with exit_on_sigterm():
        results = _explain(predictor, options, sources, folder)
    broken = sum("error" in item for item in results)
    print_result(results)  # before anything is written: the disk may be full
    atomic.write_text(folder / _RESULTS, json_text.dumps(results, indent=1, ensure_ascii=False) + "\n")
    method = next((item["method"] for item in results if "error" not in item), "nothing")
    failed = f", {broken:,} failed" if broken else ""
    reached = f"explained by {method}: {len(results) - broken:,} images{failed}"
    following = ending.command("ppcls", "explain", user_path(options.model), *options.images[:1], "--class", "NAME")
    ending.say(reached, {"pictures": folder, "classes and scores": folder / _RESULTS}, following)
    return 2 if broken else 0


def _explain(predictor: Any, options: argparse.Namespace, sources: List[Any], folder: Path) -> List[Dict[str, Any]]:
    """Write the pictures; return what is said about each image."""
    from tqdm import tqdm

    from ppcls.analysis.explaining import Explainer
    from ppcls.analysis.picture_files import PictureFolder
    from ppcls.utils.logging import get_logger

    explainer = Explainer(predictor, options.method, options.label)
    pictures = PictureFolder(folder)
    results = []
    with contextlib.closing(explainer.explanations(sources)) as explanations:
        for item in tqdm(explanations, "explain", len(sources), unit="image", leave=False, disable=None):
            name = item.answer["file_name"]
            if item.picture is None:
                get_logger().error("%s: %s", name, item.answer["error"])
                results.append(item.answer)
                continue
            written = pictures.write(name, item.picture)
            explained = {
                "file_name": name,
                "class_id": item.class_id,
                "label_name": item.label_name,
                "score": item.score,
                "method": explainer.method,
                "heat_map": str(written) if isinstance(written, Path) else None,
            }
            results.append(explained if isinstance(written, Path) else {**explained, "error": str(written)})
    return results


def _draw_filters(predictor: Any, model: str, folder: Path) -> None:
    """Write ``first_filters.png`` and, of gMLP, ``spatial_projections.png``.

    Raises:
        ConfigError: the model is an export, whose layers are not there any more.
    """
    from ppcls.analysis import filters
    from ppcls.analysis.picture_files import write_png
    from ppcls.inference.predictor import Predictor
    from ppcls.utils.logging import get_logger

    if isinstance(predictor, Predictor):
        raise ConfigError(
            f"--filters: {model} is an exported model, whose layers were merged; give the folder of the run or the "
            "checkpoint"
        )
    pictures = {
        "first_filters.png": filters.first_filters(predictor.model),
        "spatial_projections.png": filters.spatial_projections(predictor.model),
    }
    for name, picture in pictures.items():
        if picture is not None:
            write_png(folder / name, picture)
            get_logger().info("wrote %s", folder / name)


COMMAND = Command("explain", "draw where in each photo the answer comes from", _add_options, _run)
