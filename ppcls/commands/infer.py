"""``ppcls infer``."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from pathlib import Path
from typing import Any, Callable, Generator, Iterator, List, Optional, Tuple

from ppcls.commands import ending
from ppcls.commands.command import Command, exit_on_sigterm, load_for_weights, print_result
from ppcls.commands.trained_model import IMAGES_HELP, MODEL_HELP, add_model_options, count, load, prepare_machine
from ppcls.errors import ConfigError
from ppcls.inference.choices import TTA
from ppcls.utils import distributed
from ppcls.utils.folders import ensure_writable
from ppcls.utils.paths import user_path

# Options of `MODEL IMAGES...`, and their defaults; with -c, keys of the recipe say these things.
_MODEL_ONLY_OPTIONS = {
    "out": None,
    "features": None,
    "heatmaps": None,
    "format": "list",
    "topk": None,
    "batch_size": None,
    "backend": "auto",
    "precision": None,
    "tta": None,
    "device": None,
    "threads": None,
    "every": None,
}


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.usage = "%(prog)s MODEL IMAGES... [--out FILE] [options]\n       %(prog)s -c RECIPE [-o KEY=VALUE ...]"
    # Not nargs="?" and "*": these would take nothing where an option stands between MODEL and IMAGES.
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP).required = False
    images_help = f"{IMAGES_HELP}, videos, camera:0, rtsp://..."
    parser.add_argument("images", metavar="IMAGES", nargs="+", help=images_help).required = False
    add_model_options(parser)
    out_help = ".json, .csv or .parquet; without it the answers are printed as JSON"
    parser.add_argument("--out", metavar="FILE", type=Path, help=out_help)
    map_help = "map: write {path: class id} instead of whole answers (null for a broken image; multi-label: a list)"
    parser.add_argument("--format", choices=("list", "map"), default="list", help=map_help)
    features_help = ".npy or .parquet: write the features, which are the input of the classifier; not for exports"
    parser.add_argument("--features", metavar="FILE", type=Path, help=features_help)
    heat_maps_help = "write each photo with a heat map of where the answer comes from; see `ppcls explain`"
    parser.add_argument("--heatmaps", metavar="FOLDER", type=Path, help=heat_maps_help)
    every_help = "videos: seconds from one frame to the next (default: 1; 0: all frames)"
    parser.add_argument("--every", metavar="SECONDS", type=float, help=every_help)
    parser.add_argument(
        "--topk", metavar="N", type=count, help="number of classes in an answer; all if there are fewer"
    )
    tta_help = "average over views of each image: its mirror image (flip), or the centre and the four corners (crops)"
    parser.add_argument("--tta", choices=TTA, help=tta_help)


def _run(options: argparse.Namespace) -> int:
    if options.model is None:
        return _by_recipe(options)
    prepare_machine(options)
    from ppcls.inference import videos
    from ppcls.utils.logging import get_logger

    _check_model_and_images(options)
    _check_outputs(options)
    found = videos.collect(options.images)
    _check_videos(options, found)
    on_screen = _prints_answers(options) and sys.stdout.isatty() and sys.stderr.isatty()
    predictor = load(options, options.model, options.topk, options.tta)
    if found.is_live:
        predictor.pipeline = videos.live_pipeline(predictor.pipeline, options.batch_size)
    pictures = _picture_folder(options)
    with exit_on_sigterm(), contextlib.ExitStack() as stack:
        write = _open_outputs(options, predictor, found, pictures, stack)
        stopped = stack.enter_context(_until_interrupted()) if found.is_live else (lambda: False)
        sources = found.sources(1.0 if options.every is None else options.every, stopped)
        rows = _with_bar(_rows(options, predictor, sources), found.total, bar=not on_screen)
        images, broken = _write_rows(rows, write, on_screen)
    for target in (options.out, options.features):
        if target is not None:
            get_logger().info("wrote %s: %d images, %d of them broken", target, images, broken)
    unwritten = 0 if pictures is None else pictures.failed
    _say_ending(options, images, broken, unwritten)
    return 2 if broken or unwritten else 0


def _picture_folder(options: argparse.Namespace) -> Any:
    """Return where heat maps go; None where none are asked for."""
    if options.heatmaps is None:
        return None
    from ppcls.analysis.picture_files import PictureFolder

    return PictureFolder(user_path(options.heatmaps))


def _check_videos(options: argparse.Namespace, found: Any) -> None:
    """Refuse options that do not go with the images."""
    if options.every is not None and not found.has_videos:
        raise ConfigError("--every: applies to videos, and there is none among the images")
    if options.features is not None and found.has_videos:
        raise ConfigError("--features: works for images only, and there is a video among them")
    if options.heatmaps is not None and found.is_live:
        raise ConfigError(
            "--heatmaps: works for images and video files only, and there is a camera or stream among them"
        )


def _write_rows(rows: Iterator[Any], write: Callable[[Any, Any, Any], None], on_screen: bool) -> Tuple[int, int]:
    """Write rows, and log errors; return how many there are, and how many errors.

    Args:
        on_screen: whether answers are printed on a terminal, where they show the errors.
    """
    from ppcls.utils.logging import get_logger

    images = broken = 0
    for row in rows:
        images += 1
        if "error" in row[0]:
            broken += 1
            if not on_screen:
                get_logger().error("%s: %s", row[0]["file_name"], row[0]["error"])
        write(*row)
    return images, broken


def _say_ending(options: argparse.Namespace, images: int, broken: int, unwritten: int) -> None:
    """Say what is in which file, if there is one: printed answers end by themselves.

    Args:
        unwritten: how many heat maps could not be written.
    """
    files = {"answers": options.out, "features": options.features, "heat maps": options.heatmaps}
    where = {name: path for name, path in files.items() if path is not None}
    if where:
        done = f"predicted {images - broken:,} images" + f"; {broken:,} could not be read" * bool(broken)
        done += f"; {unwritten:,} heat map{'s' * (unwritten != 1)} could not be written" * bool(unwritten)
        ending.say(done, where, ending.command("ppcls", "serve", user_path(options.model)))


@contextlib.contextmanager
def _until_interrupted() -> Iterator[Callable[[], bool]]:
    """Give a function that tells whether Ctrl-C was pressed, which ends a live video; a second one ends the command."""
    pressed: List[int] = []

    def note(number: int, frame: Any) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)


def _prints_answers(options: argparse.Namespace) -> bool:
    """Return whether the answers are printed: they are not in a file, and more than features is asked for."""
    return options.out is None and (options.features is None or options.heatmaps is not None)


def _check_outputs(options: argparse.Namespace) -> None:
    """Check what the user wants to have written, before any work."""
    from ppcls.inference import feature_files, results

    if options.heatmaps is not None:
        folder = user_path(options.heatmaps)
        ensure_writable(folder, f"--heatmaps={folder}", "choose another folder")
    if options.features is None:
        results.check(options.out, options.format)
        return
    feature_files.check(options.features)
    if options.out is not None or options.heatmaps is not None:
        results.check(options.out, options.format)
        return
    for name, default in (("topk", None), ("every", None), ("format", "list")):
        if getattr(options, name) != default:
            raise ConfigError(
                f"--{name}: applies to answers, and --features alone writes none; add --out FILE for both"
            )


def _rows(options: argparse.Namespace, predictor: Any, sources: Any) -> Generator[Any, None, None]:
    """Yield each image's answer, its features or None, and its picture with a heat map or None."""
    if options.heatmaps is not None:
        from ppcls.analysis.explaining import Explainer

        explainer = Explainer(predictor, features=options.features is not None)
        with contextlib.closing(explainer.explanations(sources)) as explanations:
            for item in explanations:
                yield item.answer, item.features, item.picture
    elif options.features is None:
        with contextlib.closing(predictor.pipeline.answers(sources)) as answers:
            for answer in answers:
                yield answer, None, None
    elif options.out is not None:
        with contextlib.closing(predictor.answers_and_features(sources)) as pairs:
            for answer, features in pairs:
                yield answer, features, None
    else:
        with contextlib.closing(predictor.features(sources)) as pairs:
            for name, features in pairs:
                failed = isinstance(features, Exception)
                yield {"file_name": name, **({"error": str(features)} if failed else {})}, features, None


def _open_outputs(
    options: argparse.Namespace, predictor: Any, found: Any, pictures: Any, stack: contextlib.ExitStack
) -> Callable[[Any, Any, Any], None]:
    """Return what writes a row of ``_rows`` to what the user asked for; ``stack`` closes the files.

    Args:
        found: what ``videos.collect`` has returned.
        pictures: takes the heat maps; None where none are asked for.
    """
    from ppcls.errors import DataError
    from ppcls.utils.logging import get_logger

    answers = features_file = None
    if _prints_answers(options) or options.out is not None:
        postprocess = predictor.pipeline.postprocess
        answers = stack.enter_context(_output(options, postprocess.is_multilabel, found.has_videos))
        if postprocess.class_names is None:
            get_logger().warning("%s has no class names: the answers have class ids only", options.model)
        elif predictor.names_are_labels:
            text = "%s has no class names: answers have the labels of the list that it was trained on as names"
            get_logger().warning(text, options.model)
    if options.features is not None:
        from ppcls.inference import feature_files

        features_file = stack.enter_context(feature_files.open_writer(options.features, found.total))

    def write(answer: Any, features: Any, picture: Any) -> None:
        name = answer["file_name"]
        if pictures is not None and picture is not None:
            written = pictures.write(name, picture)
            answer = {**answer, "heat_map": str(written) if isinstance(written, Path) else None}
        if answers is not None:
            answers.add(answer)
            if found.is_live and options.out is None:
                sys.stdout.flush()
        if features_file is not None:
            features_file.add(name, DataError(answer["error"]) if "error" in answer else features)

    return write


def _check_model_and_images(options: argparse.Namespace) -> None:
    """Raise a ConfigError if MODEL is no model, or there are no images."""
    from ppcls.data.transforms.formats import IMAGE_SUFFIXES

    if distributed.world_size() > 1:
        raise ConfigError("MODEL IMAGES runs in one process; for several: -c RECIPE -o Infer.infer_imgs=FOLDER")
    if Path(options.model).suffix.lower() in IMAGE_SUFFIXES and not Path(options.model).is_dir():
        raise ConfigError(f"{options.model} is an image, not a model; MODEL comes first: ppcls infer MODEL IMAGES...")
    if options.images:
        return
    taken = [change for group in options.override for change in group if "=" not in change]
    if taken:
        raise ConfigError(
            f"nothing to predict: -o took {', '.join(taken)}, as it takes all that follows it; put the images before "
            f"the options: ppcls infer {options.model} {' '.join(taken)} -o KEY=VALUE"
        )
    raise ConfigError(f"nothing to predict: ppcls infer {options.model} IMAGES...")


def _with_bar(results: Generator[Any, None, None], total: Optional[int], bar: bool = True) -> Iterator[Any]:
    """Yield the results, with a progress bar where standard error is a terminal.

    Args:
        bar: False where the results are printed there, too: the bar would be drawn over them.
    """
    from tqdm import tqdm

    quiet = None if bar else True
    with contextlib.closing(results):
        yield from tqdm(results, desc="inference", total=total, unit="image", leave=False, disable=quiet)


def _by_recipe(options: argparse.Namespace) -> int:
    used = [name for name, default in _MODEL_ONLY_OPTIONS.items() if getattr(options, name) != default]
    if used or not options.config:
        what = f"--{used[0].replace('_', '-')} belongs to" if used else "give"
        hint = " (in front of -o, which takes all that follows it)" if options.override and not options.config else ""
        raise ConfigError(
            f"{what} `ppcls infer MODEL IMAGES...`{hint}; with a recipe: -c RECIPE -o Infer.infer_imgs=..."
        )
    config = load_for_weights(options)
    from ppcls.engine import infer

    answers = infer(config)
    print_result(answers)
    return 2 if any("error" in answer for answer in answers) else 0


@contextlib.contextmanager
def _output(options: argparse.Namespace, multilabel: bool, timed: bool) -> Iterator[Any]:
    """Give a writer to ``--out``, or to standard output."""
    from ppcls.inference import results

    if options.out:
        with results.open_writer(options.out, options.format, multilabel, timed) as file:
            yield file
        return
    file = results.json_writer(sys.stdout, options.format, multilabel)
    yield file
    file.finish()


COMMAND = Command("infer", "predict images", _add_options, _run)
