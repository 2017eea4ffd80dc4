"""``ppcls eval``."""

from __future__ import annotations

import argparse
from typing import Any, Dict

from ppcls.commands.command import (
    Command,
    add_recipe_options,
    add_weight_options,
    changes,
    load_for_weights,
    load_recipe,
    weight_options,
)
from ppcls.errors import ConfigError
from ppcls.inference.choices import BACKENDS, PRECISIONS, TTA


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_recipe_options(parser)
    add_weight_options(parser)
    parser.add_argument("--model", metavar="PATH", help="evaluate an exported model: its folder, or an .onnx file")
    parser.add_argument("--backend", choices=BACKENDS, help="what runs --model (default: as `ppcls infer` does)")
    parser.add_argument("--precision", choices=PRECISIONS, help="in what --model computes (default: as exported)")
    tta_help = "also evaluate the mean over views of each image: its mirror image, or five crops"
    parser.add_argument("--tta", choices=TTA, help=tta_help)


def _run(options: argparse.Namespace) -> int:
    if options.tta is not None:
        options.override.append([f"Infer.tta={options.tta}"])
    if options.model is None:
        for name in ("backend", "precision"):
            if getattr(options, name) is not None:
                raise ConfigError(f"--{name} is for exported models: give --model PATH")
        config = load_for_weights(options)
        _warn_about_infer_imgs(config, options)
        from ppcls.engine import evaluate

        _print(evaluate(config))
        return 0
    for option in weight_options(options):
        raise ConfigError(f"{option}: with --model {options.model} no weights are used; leave one of the two out")
    config = load_recipe(options)
    _warn_about_infer_imgs(config, options)
    if config.Stages or options.stage is not None:
        config = config.stage(options.stage or list(config.stages)[-1])
    _refuse_weights(config, options.model)
    from ppcls.exporting import evaluate_export

    _print(evaluate_export(config, options.model, options.backend or "auto", options.precision))
    return 0


def _warn_about_infer_imgs(config: Any, options: argparse.Namespace) -> None:
    """Warn where ``-o`` names images to predict, which evaluation does not use."""
    if not any(config.where("Infer", key).startswith("-o") for key in ("infer_imgs", "infer_list")):
        return
    import shlex

    from ppcls.utils.logging import get_logger

    if options.model is None:
        changed = [f"-o {shlex.quote(change)}" for change in changes(options)]
        stage = [f"--stage {options.stage}"] if options.stage else []
        command = ["python tools/infer.py -c", shlex.quote(options.config), *stage, *changed]
    else:
        command = ["ppcls infer", shlex.quote(options.model), shlex.quote(config.Infer.infer_imgs or "IMAGES...")]
    get_logger().warning(
        "this command evaluates on DataLoader.Eval; it does not predict Infer.infer_imgs. To predict, type: %s",
        " ".join(command),
    )


def _print(result: Dict[str, Any]) -> None:
    """Print a result as JSON, once if there are several processes."""
    from ppcls.utils import distributed, json_text

    if distributed.is_main():
        items = (f"{json_text.dumps(key, ensure_ascii=False)}: {_to_json(value, 1)}" for key, value in result.items())
        print("{\n " + ",\n ".join(items) + "\n}")


def _to_json(value: Any, depth: int) -> str:
    """Return ``value`` as indented JSON, with each innermost list or dict, such as a row of a matrix, on one line."""
    from ppcls.utils import json_text

    nested = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if not any(isinstance(item, (dict, list)) for item in nested):
        return json_text.dumps(value, ensure_ascii=False)
    line = "\n" + " " * (depth + 1)
    if isinstance(value, list):
        inner = [_to_json(item, depth + 1) for item in value]
        return "[" + line + f",{line}".join(inner) + line[:-1] + "]"
    inner = [f"{json_text.dumps(key, ensure_ascii=False)}: {_to_json(item, depth + 1)}" for key, item in value.items()]
    return "{" + line + f",{line}".join(inner) + line[:-1] + "}"


def _refuse_weights(config: Any, model: str) -> None:
    """Raise a ConfigError for weights that ``-o`` names beside an export; a recipe may have them for training."""
    for section, key in (("Global", "pretrained_model"), ("Global", "checkpoints"), ("Arch", "pretrained")):
        where = config.where(section, key)
        if where.startswith("-o") and getattr(getattr(config, section), key):
            raise ConfigError(f"{where}: with --model {model} no weights are used; leave one of the two out")


COMMAND = Command(
    "eval", "evaluate weights (-o Global.pretrained_model=PREFIX) or an export (--model PATH)", _add_options, _run
)
