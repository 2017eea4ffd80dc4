"""``ppcls infer``."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from pathlib import Path
from typing import Any, Iterator, List, Sequence

from ppcls.commands.command import (
    Command,
    add_recipe_options,
    changes,
    exit_on_sigterm,
    import_components,
    import_paddle,
    load_for_weights,
    print_result,
)
from ppcls.errors import ConfigError
from ppcls.utils.paths import user_path

# What belongs to `MODEL IMAGES...`: a recipe says these things by its keys.
_OF_MODEL = {
    "out": None,
    "format": "list",
    "topk": None,
    "batch_size": None,
    "backend": "auto",
    "device": None,
    "threads": None,
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
    images_help = "files, folders, patterns ('photos/**/*.jpg') and http(s) addresses"
    # Not nargs="?" and "*": these would take nothing where an option stands between MODEL and IMAGES.
    parser.add_argument("model", metavar="MODEL", help=model_help).required = False
    parser.add_argument("images", metavar="IMAGES", nargs="+", help=images_help).required = False
    add_recipe_options(parser, required=False)
    out_help = ".json, .csv or .parquet; without it the answers are printed as JSON"
    parser.add_argument("--out", metavar="FILE", type=Path, help=out_help)
    map_help = "map: write {path: class id} instead of whole answers (null for a broken image)"
    parser.add_argument("--format", choices=("list", "map"), default="list", help=map_help)
    parser.add_argument("--topk", metavar="N", type=_count, help="classes in an answer; all where there are fewer")
    parser.add_argument("--batch-size", metavar="N", type=_count, help="images that go through the model together")
    backend_help = "what runs an exported model"
    parser.add_argument("--backend", choices=("auto", "paddle", "onnx"), default="auto", help=backend_help)
    device_help = "cpu, gpu, or of several gpu:1 (default: a GPU where the model's runtime can use one)"
    parser.add_argument("--device", metavar="DEVICE", help=device_help)
    parser.add_argument("--threads", metavar="N", type=_count, help="CPU threads of the model")


def _run(options: argparse.Namespace) -> int:
    # File names may be no text at all; in JSON the escape means just what such a name is in Python.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if options.model is None:
        return _by_recipe(options)
    from ppcls.utils import environment

    if options.threads and options.threads > environment.MAX_THREADS:
        raise ConfigError(f"--threads {options.threads}: at most {environment.MAX_THREADS}")
    if options.threads:
        os.environ[environment.THREADS] = str(options.threads)
    environment.prepare()  # before numpy is imported
    from ppcls.inference import inputs, results
    from ppcls.utils.logging import get_logger

    _check_model_and_images(options)
    results.check(options.out, options.format)
    sources = inputs.collect(options.images)
    broken = 0
    on_screen = options.out is None and sys.stdout.isatty() and sys.stderr.isatty()
    pipeline = _pipeline(options)
    with exit_on_sigterm(), _output(options) as file:
        if pipeline.postprocess.class_names is None:
            get_logger().warning("%s has no class names: the answers have class ids only", options.model)
        for answer in _answers(pipeline, sources, bar=not on_screen):
            if "error" in answer:
                broken += 1
                if not on_screen:  # where the answer says it
                    get_logger().error("%s: %s", answer["file_name"], answer["error"])
            file.add(answer)
    if options.out:
        get_logger().info("wrote %s: %d images, %d of them broken", options.out, len(sources), broken)
    return 2 if broken else 0


def _check_model_and_images(options: argparse.Namespace) -> None:
    """Raise a ConfigError where the arguments are no model and its images."""
    from ppcls.data.transforms.formats import IMAGE_SUFFIXES
    from ppcls.utils import distributed

    if distributed.world_size() > 1:
        raise ConfigError("MODEL IMAGES runs in one process; for several: -c RECIPE -o Infer.infer_imgs=FOLDER")
    if Path(options.model).suffix.lower() in IMAGE_SUFFIXES and not Path(options.model).is_dir():
        raise ConfigError(f"{options.model} is an image, no model; MODEL comes first: ppcls infer MODEL IMAGES...")
    if not options.images:
        raise ConfigError(f"nothing to predict: ppcls infer {options.model} IMAGES...")


def _answers(pipeline: Any, sources: Sequence[Any], bar: bool) -> Iterator[Any]:
    """Yield the answers, with a progress bar where standard error is a terminal.

    Args:
        bar: False where the answers are printed on it, too: the bar would be drawn over them.
    """
    from tqdm import tqdm

    quiet = None if bar else True
    with contextlib.closing(pipeline.answers(sources)) as answers:
        yield from tqdm(answers, desc="inference", total=len(sources), unit="image", leave=False, disable=quiet)


def _by_recipe(options: argparse.Namespace) -> int:
    given = [f"--{name.replace('_', '-')}" for name, unset in _OF_MODEL.items() if getattr(options, name) != unset]
    if given or not options.config:
        what = f"{given[0]} belongs to" if given else "give"
        hint = " (in front of -o, which takes all that follows it)" if options.override and not options.config else ""
        raise ConfigError(
            f"{what} `ppcls infer MODEL IMAGES...`{hint}; with a recipe: -c RECIPE -o Infer.infer_imgs=..."
        )
    config = load_for_weights(options)
    from ppcls.engine import infer

    answers = infer(config)
    print_result(answers)
    return 2 if any("error" in answer for answer in answers) else 0


def _pipeline(options: argparse.Namespace) -> Any:
    """Return the pipeline of an export, or of a checkpoint with the recipe that it carries or that is given."""
    from ppcls.inference import description

    path = user_path(options.model)
    if description.is_export(path):
        return _exported(options, path)
    if options.backend != "auto":
        raise ConfigError(
            f"--backend {options.backend}: {path} is no exported model, and runs in Paddle; export it first"
        )
    options.override += _device_change(options, path)
    import_paddle()
    import_components(options)
    from ppcls.engine import device, inference
    from ppcls.engine.checkpointing import run_dir

    if options.config:
        weights = run_dir.best_checkpoint(path, options.stage) if path.is_dir() else path
        options.override.append([f"Global.pretrained_model={weights}", "Global.checkpoints=null"])
        config = load_for_weights(options)
    else:
        config = run_dir.load_recipe_of_checkpoint(run_dir.find_checkpoint(path, options.stage), changes(options))
    device.start(config)
    return inference.load_pipeline(config, options.batch_size, options.topk)


def _device_change(options: argparse.Namespace, path: Path) -> List[List[str]]:
    """Return what --device changes in the recipe of a checkpoint, as ``-o`` has it."""
    if options.device is None:
        return []
    from ppcls.inference.backends.devices import Device

    device = Device.parse(options.device)
    if device.index:
        raise ConfigError(
            f"--device {options.device}: {path} is no exported model, and runs on the first GPU that "
            f"CUDA_VISIBLE_DEVICES leaves: set that, and --device gpu"
        )
    if any(change.startswith("Global.device=") for change in changes(options)):
        raise ConfigError("--device and -o Global.device=... say the same thing; leave one of them out")
    return [[f"Global.device={device.kind}"]]


def _exported(options: argparse.Namespace, path: Path) -> Any:
    for name, value in (("-c", options.config), ("-o", options.override), ("--stage", options.stage)):
        if value:
            raise ConfigError(f"{name}: {path} is an exported model, which has its recipe in it; leave {name} out")
    import_components(options)
    from ppcls.inference.predictor import Predictor
    from ppcls.utils.logging import get_logger

    sizes = {} if options.batch_size is None else {"batch_size": options.batch_size}
    predictor = Predictor(
        path,
        backend=options.backend,
        threads=options.threads,
        topk=options.topk,
        device="auto" if options.device is None else options.device,
        **sizes,
    )
    get_logger().info("%s, by the backend %s on %s", predictor.description.name, predictor.backend, predictor.device)
    return predictor.pipeline


@contextlib.contextmanager
def _output(options: argparse.Namespace) -> Iterator[Any]:
    """Give a writer to the file of ``--out``, or else to standard output."""
    from ppcls.inference import results

    if options.out:
        with results.writing(options.out, options.format) as file:
            yield file
        return
    file = results.json_writer(sys.stdout, options.format)
    yield file
    file.finish()


COMMAND = Command("infer", "predict images", _add_options, _run)
