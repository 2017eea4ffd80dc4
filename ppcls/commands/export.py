"""``ppcls export``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Mapping

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
    to_json,
)
from ppcls.errors import ConfigError
from ppcls.utils.paths import user_path


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run",
        metavar="RUN",
        nargs="?",
        help="the output_dir of a run, with its recipe and best weights, or a checkpoint",
    )
    add_recipe_options(parser, required=False)
    add_weight_options(parser)
    parser.add_argument("--bf16", action="store_true", help="let Paddle Inference compute in bfloat16")
    models = parser.add_argument_group("ONNX models beside that")
    models.add_argument("--onnx", action="store_true", help="write an ONNX model, too (the options below include this)")
    models.add_argument("--opset", type=int, help="version of ONNX's operators, 13 to 21 (default: 17)")
    models.add_argument(
        "--self-contained", action="store_true", help="also write an ONNX model that takes pixels, [B, H, W, C] uint8"
    )
    models.add_argument("--fp16", action="store_true", help="also write an ONNX model in float16")
    models.add_argument(
        "--int8", action="store_true", help="also write a quantized ONNX model, and measure its accuracy"
    )
    models.add_argument("--calibration", metavar="FOLDER", help="images for --int8 (default: the training set)")
    models.add_argument("--calibration-images", type=int, metavar="N", help="number of these images (default: 128)")
    models.add_argument("--max-drop", type=float, help="how far --int8 may lower the top-1 accuracy (default: 0.01)")
    parser.add_argument(
        "--image-size", type=int, nargs="+", metavar="PX", help="export for images of another size: PX, or HEIGHT WIDTH"
    )
    parser.add_argument(
        "--examples",
        type=int,
        metavar="N",
        help="put N small pictures of the evaluation set into the export, for the server's page (default: 0)",
    )


def _run(options: argparse.Namespace) -> int:
    if (options.run is None) == (options.config is None):
        raise ConfigError("give either RUN or -c RECIPE (with -o Global.pretrained_model=PREFIX)")
    size = options.image_size or []
    if len(size) > 2:
        raise ConfigError(f"--image-size: expected PX or HEIGHT WIDTH, got {' '.join(map(str, size))}")
    config = load_for_weights(options) if options.run is None else _recipe_of_run(options)
    from ppcls.exporting import export
    from ppcls.exporting.options import Options

    names = ("onnx", "opset", "self_contained", "fp16", "bf16", "int8", "calibration", "calibration_images", "max_drop")
    given = ((name, getattr(options, name)) for name in (*names, "examples"))
    values = {name: value for name, value in given if value is not None}
    _refuse_unused_options(values)
    with exit_on_sigterm():
        report = export(config, Options(**values, image_size=(size[0], size[-1]) if size else None))
    print(to_json(report))
    folder = Path(report["folder"])
    reached = f"exported: probabilities of {report['images']} images differ by at most {report['max_difference']:.2g}"
    ending.say(reached, {"model": folder}, ending.command("ppcls", "serve", folder))
    return 0


def _refuse_unused_options(values: Mapping[str, Any]) -> None:
    """Raise a ConfigError for an option of a model that is not written."""
    onnx = any(values[name] for name in ("onnx", "self_contained", "fp16", "int8"))
    for name, used, needed in (
        ("opset", onnx, "--onnx"),
        ("calibration_images", values["int8"], "--int8"),
        ("max_drop", values["int8"], "--int8"),
    ):
        if name in values and not used:
            raise ConfigError(f"--{name.replace('_', '-')}: does nothing without {needed}")


def _recipe_of_run(options: argparse.Namespace) -> Any:
    import_paddle()
    import_components(options)
    from ppcls.engine.checkpointing import run_dir
    from ppcls.inference import description

    path = user_path(options.run)
    if path.suffix.lower() == ".onnx" or (path / description.FILE).is_file():
        raise ConfigError(
            f"{options.run} is an exported model; give the run's folder or the checkpoint that it was made from"
        )
    return run_dir.load_recipe(path, changes(options), options.stage)


COMMAND = Command(
    "export", "write an inference model: of a run's folder, of a checkpoint, or of -c RECIPE", _add_options, _run
)
