"""``ppcls infer``."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Any, Callable, Generator, Iterator, List, Optional, Tuple

from ppcls.commands import ending
from ppcls.commands.command import (
    Command,
    add_recipe_options,
    add_weight_options,
    changes,
    exit_on_sigterm,
    import_components,
    import_paddle,
    load_for_weights,
    print_result,
    weight_options,
)
from ppcls.errors import ConfigError
from ppcls.inference.choices import BACKENDS, PRECISIONS
from ppcls.utils import distributed
from ppcls.utils.paths import user_path

# Options of `MODEL IMAGES...`, and their defaults; with -c, keys of the recipe say these things.
_MODEL_ONLY_OPTIONS = {
    "out": None,
    "features": None,
    "format": "list",
    "topk": None,
    "batch_size": None,
    "backend": "auto",
    "precision": None,
    "device": None,
    "threads": None,
    "every": None,
}


def _count(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of 1 or more")
    return value


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.usage = "%(prog)s MODEL IMAGES... [--out FILE] [options]\n       %(prog)s -c RECIPE [-o KEY=VALUE ...]"
    model_help = "folder of a run or an export, checkpoint (PREFIX or PREFIX.pdparams), or .onnx file"
    images_help = "files, folders, patterns ('photos/**/*.jpg'), http(s) addresses, videos, camera:0, rtsp://..."
    # Not nargs="?" and "*": these would take nothing where an option stands between MODEL and IMAGES.
    parser.add_argument("model", metavar="MODEL", help=model_help).required = False
    parser.add_argument("images", metavar="IMAGES", nargs="+", help=images_help).required = False
    add_recipe_options(parser, required=False)
    add_weight_options(parser)
    out_help = ".json, .csv or .parquet; without it the answers are printed as JSON"
    parser.add_argument("--out", metavar="FILE", type=Path, help=out_help)
    map_help = "map: write {path: class id} instead of whole answers (null for a broken image; multi-label: a list)"
    parser.add_argument("--format", choices=("list", "map"), default="list", help=map_help)
    features_help = ".npy or .parquet: write the features that the classifier gets instead of answers; not of exports"
    parser.add_argument("--features", metavar="FILE", type=Path, help=features_help)
    every_help = "of videos: seconds from one frame to the next (default: 1; 0: all frames)"
    parser.add_argument("--every", metavar="SECONDS", type=float, help=every_help)
    parser.add_argument("--topk", metavar="N", type=_count, help="classes in an answer; all where there are fewer")
    parser.add_argument("--batch-size", metavar="N", type=_count, help="images that go through the model together")
    backend_help = "what runs an exported model"
    parser.add_argument("--backend", choices=BACKENDS, default="auto", help=backend_help)
    precision_help = "in what an exported model computes (default: as exported); bfloat16 needs the backend openvino"
    parser.add_argument("--precision", choices=PRECISIONS, help=precision_help)
    device_help = "cpu, gpu, or of several gpu:1 (default: a GPU where the model's runtime can use one)"
    parser.add_argument("--device", metavar="DEVICE", help=device_help)
    parser.add_argument("--threads", metavar="N", type=_count, help="CPU threads of the model")


def _run(options: argparse.Namespace) -> int:
    if options.model is None:
        return _by_recipe(options)
    from ppcls.utils import environment

    if options.threads and options.threads > environment.MAX_THREADS:
        raise ConfigError(f"--threads {options.threads}: at most {environment.MAX_THREADS}")
    if options.threads:
        os.environ[environment.THREADS] = str(options.threads)
    environment.prepare()  # before numpy is imported
    from ppcls.inference import results, videos
    from ppcls.utils.logging import get_logger

    _check_model_and_images(options)
    if options.features is not None:
        return _write_features(options)
    results.check(options.out, options.format)
    found = videos.collect(options.images)
    if options.every is not None and not found.has_videos:
        raise ConfigError("--every: is about videos, and there is none among the images")
    on_screen = options.out is None and sys.stdout.isatty() and sys.stderr.isatty()
    predictor = _predictor(options)
    pipeline = videos.live_pipeline(predictor.pipeline, options.batch_size) if found.is_live else predictor.pipeline
    with contextlib.ExitStack() as stack:
        stack.enter_context(exit_on_sigterm())
        file = stack.enter_context(_output(options, pipeline.postprocess.is_multilabel, found.has_videos))
        stopped = stack.enter_context(_until_interrupted()) if found.is_live else (lambda: False)
        if pipeline.postprocess.class_names is None:
            get_logger().warning("%s has no class names: the answers have class ids only", options.model)
        elif predictor.names_are_labels:
            text = "%s has no class names: answers have the labels of the list that it was trained on as names"
            get_logger().warning(text, options.model)
        answers = pipeline.answers(found.sources(1.0 if options.every is None else options.every, stopped))
        shown = _with_bar(answers, found.total, bar=not on_screen)
        count, broken = _write_answers(shown, file, on_screen, flushed=found.is_live and options.out is None)
    if options.out:
        get_logger().info("wrote %s: %d images, %d of them broken", options.out, count, broken)
        following = ending.command("ppcls", "serve", user_path(options.model))
        ending.say(_describe(count, broken), {"answers": options.out}, following)
    return 2 if broken else 0


def _write_answers(answers: Iterator[Any], file: Any, on_screen: bool, flushed: bool) -> Tuple[int, int]:
    """Write answers, and log errors; return how many there are, and how many errors.

    Args:
        on_screen: whether they are printed on a terminal, where the answers show the errors.
        flushed: whether each is printed at once.
    """
    from ppcls.utils.logging import get_logger

    count = broken = 0
    for answer in answers:
        count += 1
        if "error" in answer:
            broken += 1
            if not on_screen:
                get_logger().error("%s: %s", answer["file_name"], answer["error"])
        file.add(answer)
        if flushed:
            sys.stdout.flush()
    return count, broken


def _describe(images: int, broken: int) -> str:
    return f"{images - broken:,} images are done" + f", {broken:,} could not be read" * bool(broken)


def _write_features(options: argparse.Namespace) -> int:
    """Write ``--features``."""
    from ppcls.inference import feature_files, videos
    from ppcls.utils.logging import get_logger

    for name in ("out", "topk", "every"):
        if getattr(options, name) is not None:
            raise ConfigError(f"--{name}: is about answers, and --features writes features; leave one of them out")
    if options.format != "list":
        raise ConfigError("--format: is about answers, and --features writes features; leave one of them out")
    feature_files.check(options.features)
    found = videos.collect(options.images)
    if found.has_videos:
        raise ConfigError("--features: takes images, and there is a video among these")
    sources = list(found.sources(0))
    broken = 0
    features = _predictor(options).features(sources)
    with exit_on_sigterm(), feature_files.open_writer(options.features, len(sources)) as file:
        for name, values in _with_bar(features, len(sources)):
            if isinstance(values, Exception):
                broken += 1
                get_logger().error("%s: %s", name, values)
            file.add(name, values)
    get_logger().info("wrote %s: %d images, %d of them broken", options.features, len(sources), broken)
    following = ending.command("ppcls", "infer", user_path(options.model), "IMAGES", "--out", "answers.csv")
    ending.say(_describe(len(sources), broken), {"features": options.features}, following)
    return 2 if broken else 0


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


def _predictor(options: argparse.Namespace) -> Any:
    """Return the predictor of an export, or of a checkpoint, whose recipe may be given."""
    from ppcls.inference import description
    from ppcls.prediction import load_predictor, refuse_for_export

    is_export = description.is_export(user_path(options.model))
    if is_export:
        refuse_for_export(
            options.model,
            {
                "-c": options.config,
                "-o": options.override or None,
                "--stage": options.stage,
                **weight_options(options),
            },
        )
    else:
        import_paddle()
    import_components(options)
    return load_predictor(
        options.model,
        config=options.config,
        changes=changes(options),
        stage=options.stage,
        batch_size=options.batch_size,
        topk=options.topk,
        device=options.device,
        backend=options.backend,
        precision=options.precision,
        threads=options.threads if is_export else None,
    )


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
