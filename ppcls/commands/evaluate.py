"""``ppcls eval``."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any, Dict, Mapping, Optional

from ppcls.commands import ending
from ppcls.commands.class_table import class_table, count_images, weakest
from ppcls.commands.command import (
    Command,
    add_recipe_options,
    add_weight_options,
    changes,
    import_components,
    import_paddle,
    load_for_weights,
    load_recipe,
    refuse_recipe_options,
    weight_options,
)
from ppcls.errors import ConfigError, DataError
from ppcls.inference.choices import BACKENDS, PRECISIONS, TTA
from ppcls.utils import distributed
from ppcls.utils.paths import user_path


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.usage = (
        "%(prog)s RUN [--data DATA] [options]\n       %(prog)s -c RECIPE [-o KEY=VALUE ...] [--model PATH] [options]"
    )
    run_help = "folder of a run, checkpoint (PREFIX or PREFIX.pdparams), folder of an export, or .onnx file"
    parser.add_argument("run", metavar="RUN", nargs="?", help=run_help)
    data_help = "evaluate on other data: folder with one folder of images per class, list file, or folder of shards"
    parser.add_argument("--data", metavar="DATA", help=data_help)
    add_recipe_options(parser, required=False)
    add_weight_options(parser)
    parser.add_argument("--model", metavar="PATH", help="with -c, evaluate an export: its folder, or .onnx file")
    parser.add_argument("--backend", choices=BACKENDS, help="runtime of an exported model (default: as `ppcls infer`)")
    parser.add_argument("--precision", choices=PRECISIONS, help="precision of an exported model (default: as exported)")
    tta_help = "also evaluate the mean over views of each image: its mirror image, or five crops"
    parser.add_argument("--tta", choices=TTA, help=tta_help)


def _run(options: argparse.Namespace) -> int:
    if (options.run is None) == (options.config is None):
        raise ConfigError("give either RUN (the folder of a run, a checkpoint or an exported model) or -c RECIPE")
    if options.run is None:
        result, following = _by_recipe(options), _next_of_recipe(options)
    else:
        result = _of_model(options)
        following = ending.command("ppcls", "infer", user_path(options.run), "IMAGES", "--out", "answers.csv")
    details = result.get("details", {})
    with_table = options.run is not None and sys.stderr.isatty()
    # Where people read both streams, the table has what is new in the details, in a form to be read.
    on_screen = with_table and sys.stdout.isatty()
    _print({name: value for name, value in result.items() if name != "details"} if on_screen else result)
    if with_table and distributed.is_main():
        sys.stdout.flush()
        print(class_table(details), file=sys.stderr)
    ending.say(_describe(options, result, details), {}, following)
    return 0


def _by_recipe(options: argparse.Namespace) -> Dict[str, Any]:
    """Evaluate the weights of a recipe, or ``--model``, on the recipe's data."""
    if options.data is not None:
        raise ConfigError("--data: goes with `ppcls eval RUN`; with -c, the recipe names the data (DataLoader.Eval)")
    _change_by_tta(options)
    if options.model is None:
        _refuse_backend(options, "with -c, exported models are given by --model PATH")
        config = load_for_weights(options)
        _warn_about_infer_imgs(config, options)
        from ppcls.engine import evaluate

        return evaluate(config)
    for option in weight_options(options):
        raise ConfigError(f"{option}: with --model {options.model} no weights are used; leave one of the two out")
    config = load_recipe(options)
    _warn_about_infer_imgs(config, options)
    if config.Stages or options.stage is not None:
        config = config.stage(options.stage or list(config.stages)[-1])
    _refuse_weights(config, options.model)
    from ppcls.exporting import evaluate_export

    return evaluate_export(config, options.model, options.backend or "auto", options.precision)


def _change_by_tta(options: argparse.Namespace) -> None:
    """Add ``--tta`` to the changes of the recipe."""
    if options.tta is not None:
        options.override.append([f"Infer.tta={options.tta}"])


def _of_model(options: argparse.Namespace) -> Dict[str, Any]:
    """Evaluate RUN on its own data or on ``--data``, with numbers of each class."""
    from ppcls.inference import description

    if options.model is not None:
        raise ConfigError(f"--model: an export to evaluate, and so is {options.run}; leave one of the two out")
    import_paddle()
    import_components(options)
    path = user_path(options.run)
    section = None if options.data is None else _section_of(options.data)
    from ppcls.engine.evaluation_data import with_class_metrics

    if description.is_export(path):
        from ppcls.exporting import evaluate_export

        config = with_class_metrics(_recipe_for_export(options, path, section))
        return evaluate_export(config, path, options.backend or "auto", options.precision)
    _refuse_backend(options, f"{options.run} is not an exported model; export it first: ppcls export {options.run}")
    from ppcls.engine import evaluate

    return evaluate(with_class_metrics(_recipe_of_run(options, path, section)))


def _section_of(data: str) -> Dict[str, Any]:
    """Return the ``dataset`` section of ``--data``: its validation part, if it has one."""
    from ppcls.data.folder_layout import find_layout
    from ppcls.utils.logging import get_logger

    layout = find_layout(data, training=False)
    for note in layout.notes:
        get_logger().info("--data %s: %s", data, note)
    return layout.val or layout.train


def _recipe_for_export(options: argparse.Namespace, path: Path, section: Optional[Mapping[str, Any]]) -> Any:
    """Return the recipe to evaluate an export by: on ``--data``, else that of the run's folder that it is in."""
    from ppcls.engine.checkpointing import run_dir
    from ppcls.inference import description

    if section is None:
        folder = path.parent.parent if path.is_file() else path.parent
        if not run_dir.has_checkpoints(folder):
            raise ConfigError(f"{options.run}: is an exported model, which has no data: give --data DATA")
        return _recipe_of_run(options, folder, None)
    refuse_recipe_options(options, "of a recipe, and an exported model with --data has none")
    for option in weight_options(options):
        raise ConfigError(f"{option}: {options.run} is an exported model, which has its weights in it; leave it out")
    from ppcls.exporting.export_recipe import recipe_of_export

    return recipe_of_export(description.read(path), section, options.tta)


def _recipe_of_run(options: argparse.Namespace, path: Path, section: Optional[Mapping[str, Any]]) -> Any:
    """Return the recipe of a run or checkpoint, with ``--data`` if they are given.

    Raises:
        DataError: there is no ``--data``, and those of the run are gone.
    """
    from ppcls.engine.checkpointing import run_dir
    from ppcls.engine.evaluation_data import missing_data, with_evaluation_data, with_moved_lists

    _change_by_tta(options)
    prefix = run_dir.find_checkpoint(path, options.stage)
    recipe = run_dir.load_recipe(prefix, changes(options))
    if section is not None:
        return with_evaluation_data(recipe, section)
    recipe = with_moved_lists(recipe, prefix.parent)
    missing = missing_data(recipe)
    if missing is not None:
        raise DataError(f"{options.run}: {missing}; say where such data are: ppcls eval {options.run} --data DATA")
    return recipe


def _refuse_backend(options: argparse.Namespace, advice: str) -> None:
    for name in ("backend", "precision"):
        if getattr(options, name) is not None:
            raise ConfigError(f"--{name} is for exported models: {advice}")


def _next_of_recipe(options: argparse.Namespace) -> str:
    """Return the command that exports or uses what was evaluated."""
    if options.model is not None:
        return ending.command("ppcls", "infer", user_path(options.model), "IMAGES", "--out", "answers.csv")
    given = [word for change in changes(options) for word in ("-o", change)]
    stage = ["--stage", options.stage] if options.stage else []
    return ending.command("ppcls", "export", "-c", options.config, *stage, *given)


def _describe(options: argparse.Namespace, result: Mapping[str, Any], details: Mapping[str, Any]) -> str:
    """Return what an evaluation found, in one line."""
    values = {name: value for name, value in result.items() if isinstance(value, float) and name != "loss"}
    numbers = ", ".join(_number(name, values[name]) for name in sorted(values, key=lambda name: name[:3] != "top"))
    images = count_images(details) if options.run is not None else 0
    worst = weakest(details)
    averaged = result.get("tta", {})
    if "top1" in averaged:
        numbers += f" ({_number('top1', averaged['top1'])} with --tta {averaged['views']})"
    on = f" on {images:,} {'labels' if 'MultiLabelMAP' in result else 'images'}" * bool(images)
    return f"evaluated {options.run or options.model or options.config}{on}: {numbers}" + (
        f"; lowest recall: {worst}" if worst else ""
    )


def _number(name: str, value: float) -> str:
    """Return "98.20 % top-1", or the name and the value of what is no share of images."""
    return f"{100 * value:.2f} % top-{name[3:]}" if re.fullmatch(r"top\d+", name) else f"{name} {value:.4f}"


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
    "eval", "evaluate a run, a checkpoint or an export, on its own data or others (--data)", _add_options, _run
)
