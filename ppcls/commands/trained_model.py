"""The options of commands that take a trained model: a run, a checkpoint or an export."""

from __future__ import annotations

import argparse
import os
from typing import Any, Optional

from ppcls.commands.command import (
    add_recipe_options,
    add_weight_options,
    changes,
    import_components,
    import_paddle,
    weight_options,
)
from ppcls.errors import ConfigError
from ppcls.inference.choices import BACKENDS, PRECISIONS
from ppcls.utils.paths import user_path

MODEL_HELP = "folder of a run or an export, checkpoint (PREFIX or PREFIX.pdparams), or .onnx file"
IMAGES_HELP = "files, folders, patterns ('photos/**/*.jpg') and http(s) addresses"


def count(text: str) -> int:
    """Return a whole number of 1 or more from the command line."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of 1 or more")
    return value


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a recipe, of weights, and of how a model computes."""
    add_recipe_options(parser, required=False)
    add_weight_options(parser)
    add_machine_options(parser)


def add_machine_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of how a model computes."""
    parser.add_argument("--batch-size", metavar="N", type=count, help="images that go through the model together")
    backend_help = "runtime of an exported model"
    parser.add_argument("--backend", choices=BACKENDS, default="auto", help=backend_help)
    precision_help = "precision of an exported model (default: as exported); bfloat16 needs the backend openvino"
    parser.add_argument("--precision", choices=PRECISIONS, help=precision_help)
    device_help = "cpu, gpu, or of several gpu:1 (default: a GPU where the model's runtime can use one)"
    parser.add_argument("--device", metavar="DEVICE", help=device_help)
    parser.add_argument("--threads", metavar="N", type=count, help="CPU threads of the model")


def prepare_machine(options: argparse.Namespace) -> None:
    """Set what has to be known before numpy and Paddle are imported.

    Raises:
        ConfigError: more threads than are possible.
    """
    from ppcls.utils import environment

    if options.threads and options.threads > environment.MAX_THREADS:
        raise ConfigError(f"--threads {options.threads}: at most {environment.MAX_THREADS}")
    if options.threads:
        os.environ[environment.THREADS] = str(options.threads)
    environment.prepare()


def load(options: argparse.Namespace, model: str, topk: Optional[int] = None, tta: Optional[str] = None) -> Any:
    """Return the predictor of an export, or of a checkpoint, whose recipe may be given.

    Args:
        options: with those of ``add_machine_options`` and perhaps ``add_recipe_options``.
        model: its path.

    Raises:
        PpclsError: as its message says.
    """
    from ppcls.inference import description
    from ppcls.prediction import load_predictor, refuse_for_export

    recipe, overrides, stage = (getattr(options, name, None) for name in ("config", "override", "stage"))
    is_export = description.is_export(user_path(model))
    if is_export:
        refuse_for_export(
            model,
            {
                "-c": recipe,
                "-o": overrides or None,
                "--stage": stage,
                **weight_options(options),
            },
        )
    else:
        import_paddle()
    if hasattr(options, "imports"):
        import_components(options)
    return load_predictor(
        model,
        config=recipe,
        changes=changes(options) if overrides is not None else (),
        stage=stage,
        batch_size=options.batch_size,
        topk=topk,
        device=options.device,
        backend=options.backend,
        precision=options.precision,
        tta=tta,
        threads=options.threads if is_export else None,
    )
