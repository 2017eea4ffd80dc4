"""From a folder and a few options to a recipe in the run's folder, and what to say about it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Dict, List, Optional

from ppcls.arch import spec
from ppcls.config.commented import to_text
from ppcls.config.overrides import apply
from ppcls.config.schema import Config
from ppcls.config.tree import plain
from ppcls.config.values import from_values
from ppcls.data.folder_layout import find_layout
from ppcls.engine import load_config
from ppcls.engine.checkpointing.run_dir import lock_run_dir
from ppcls.errors import ConfigError
from ppcls.starter import record as records
from ppcls.starter.describe import describe
from ppcls.starter.recipe import Draft, Start, draft
from ppcls.starter.record import RECIPE, Record, Request
from ppcls.starter.rules import Choice, Facts, choose
from ppcls.starter.split import make_parts
from ppcls.starter.survey import Survey, survey
from ppcls.starter.tuning import say_duration, tuned
from ppcls.starter.weights_at_hand import find_start
from ppcls.utils import atomic, distributed
from ppcls.utils.folders import ensure_writable
from ppcls.utils.logging import get_logger

_SMALLEST_SIZE = 16  # pixels
# What an option and -o could both say.
_KEYS = {
    "model": "Arch.name",
    "epochs": "Global.epochs",
    "image_size": "Global.image_shape",
    "pretrained": "Global.pretrained_model",
}


@dataclass(frozen=True)
class Plan:
    """A run that can begin or go on.

    Attributes:
        config: the recipe, as ``recipe.yaml`` in the folder has it.
        run: the folder.
        record: what the folder remembers.
    """

    config: Config
    run: Path
    record: Record

    def finish(self, result: Dict[str, float]) -> None:
        """Note in the folder that the run is finished.

        Raises:
            MachineError: the note cannot be written.
        """
        replace(self.record, finished=dict(result)).write(self.run)


def default_output(folder: Path) -> Path:
    """Return where the run of a folder's images goes."""
    name = folder.resolve().name if folder.is_dir() else folder.stem
    return Path("output") / (name or "photos")


def make_plan(folder: Path, request: Request, run: Path, estimate: bool = True) -> Plan:
    """Return the plan of a run: of the one in the folder, or of a new one, whose recipe is written there.

    Args:
        folder: of the images, as the recipe names it; or a list file.
        request: what is asked for.
        run: the run's folder.
        estimate: whether to say how long training takes.

    Raises:
        ConfigError: there are several processes, the folder holds a finished or another run, or an option is invalid.
        DataError: the images cannot be trained with.
        MachineError: the folder cannot be written to, or another process works there.
        WeightsError, CheckpointError: the weights to start from cannot be used.
    """
    _check_options(request)
    known = records.read(run)
    if known is not None:
        records.require_continuable(known, request, run)
        _say_what_changed(known, folder)
        config = load_config(run / RECIPE)
        _require_in_place(config, run)
        return Plan(config, run, known)
    _require_one_process()
    layout = find_layout(folder)
    records.require_free(run)
    start = find_start(request.pretrained, request.model)
    found = survey(layout, _device(request.changes))
    ensure_writable(run, f"--output {run}", "choose another folder with --output")
    with lock_run_dir(run):
        return _new_plan(request, run, found, start, estimate)


def _require_one_process() -> None:
    if distributed.world_size() > 1:
        raise ConfigError(
            "`ppcls train FOLDER` chooses in one process; start it once to get a recipe.yaml (Ctrl-C when training "
            "begins), then train by it in several: -c RECIPE"
        )


def _new_plan(request: Request, run: Path, found: Survey, start: Optional[Start], estimate: bool) -> Plan:
    layout = found.layout
    facts = _facts(found, request, start)
    chosen = _with_options(choose(facts), request, start)
    parts = make_parts(found, chosen["validation"].value or 0.0, run)
    describe(found, parts, chosen)
    made = draft(chosen, parts, run, start, _workers(found.cores), facts.classes)
    made = _changed(made, request.changes)
    if start is None and not _sets_rate(request.changes):
        made = tuned(made, run, chosen["learning rate"].value, parts)
    elif estimate:
        say_duration(made, parts)
    path = run / RECIPE
    atomic.write_text(path, to_text(made.values, made.comments, _header(layout.path, request, path)))
    record = Record(request, layout.counts)
    config = load_config(path)
    record.write(run)
    get_logger().info("recipe: %s", path)
    return Plan(config, run, record)


def _check_options(request: Request) -> None:
    if request.model is not None:
        try:
            spec(request.model)
        except ConfigError as error:
            raise ConfigError(f"--model: {error}") from None
    if request.epochs is not None and request.epochs < 1:
        raise ConfigError(f"--epochs: must be at least 1, not {request.epochs}")
    keys = [change.partition("=")[0].strip() for change in request.changes]
    for name, key in _KEYS.items():
        if getattr(request, name) is not None and key in keys:
            option = f"--{name.replace('_', '-')}"
            raise ConfigError(f"{option} and -o {key} cannot be used together; leave one out")
    if "Global.output_dir" in keys:
        raise ConfigError("-o Global.output_dir: the run's folder is given by --output")
    if request.image_size is not None and request.image_size < _SMALLEST_SIZE:
        raise ConfigError(f"--image-size: must be at least {_SMALLEST_SIZE} pixels, not {request.image_size}")


def _require_in_place(config: Config, run: Path) -> None:
    """Refuse to go on in another folder than the one that is asked for.

    Raises:
        ConfigError: the recipe names another folder.
    """
    named = Path(config.Global.output_dir)
    if named.resolve() != run.resolve():
        raise ConfigError(
            f"{run / RECIPE}: belongs to a run in {named}, and is in {run}. If the folder was moved, change the "
            f"paths in the recipe: Global.output_dir and those of its lists"
        )


def _say_what_changed(known: Record, folder: Path) -> None:
    """Warn where images were added or removed since the run began."""
    counts = find_layout(folder).counts
    before, now = sum(known.counts.values()), sum(counts.values())
    if counts != known.counts:
        get_logger().warning(
            "%s: has %d images now and had %d when the run began; the run goes on with the images in its "
            "lists. To train with all of them, begin another run with --output",
            *(folder, now, before),
        )


def _facts(found: Survey, request: Request, start: Optional[Start]) -> Facts:
    return Facts(
        images=found.images,
        classes=found.num_classes,
        short_side=found.short_side,
        device=found.device,
        cores=found.cores,
        is_symmetric=found.mirror.is_symmetric and request.flip,
        has_validation=found.layout.val is not None,
        weights=None if start is None else start.arch["name"],
        weights_image_size=None if start is None else start.image_size,
    )


def _with_options(chosen: Dict[str, Choice], request: Request, start: Optional[Start]) -> Dict[str, Choice]:
    """Return the choices with those of the user in their place."""
    given = {**chosen, "epochs": chosen["epochs"]._replace(text=str(chosen["epochs"].value))}
    changed_epochs = _value_of("Global.epochs", request.changes)
    if start is not None:
        given["model"] = Choice(dict(start.arch), start.arch["name"], chosen["model"].why)
    elif request.model is not None:
        given["model"] = Choice({"name": request.model}, request.model, "--model")
        size = spec(request.model).image_size
        given["image size"] = Choice(size, str(size), f"that of {request.model}")
    if request.image_size is not None:
        given["image size"] = Choice(request.image_size, str(request.image_size), "--image-size")
    if request.epochs is not None:
        given["epochs"] = Choice(request.epochs, str(request.epochs), "--epochs")
    elif start is None and changed_epochs.isdecimal() and int(changed_epochs) > 0:
        given["epochs"] = Choice(int(changed_epochs), changed_epochs, "from -o")
    if not request.flip:
        given["mirror images"] = chosen["mirror images"]._replace(why="--no-flip")
    return given


def _device(changes: List[str]) -> str:
    """Return the device that ``-o`` names, else "auto"."""
    return _value_of("Global.device", changes) or "auto"


def _value_of(key: str, changes: List[str]) -> str:
    """Return what ``-o`` gives a key, as it was written; "" if it does not."""
    values = [value for name, _, value in (change.partition("=") for change in changes) if name.strip() == key]
    return values[-1].strip() if values else ""


def _workers(cores: int) -> int:
    """Return how many processes read images beside training."""
    return max(1, min(4, cores // 2))


def _changed(made: Draft, changes: List[str]) -> Draft:
    """Return the draft with the changes of ``-o``.

    Raises:
        ConfigError: a change cannot be made, or the recipe is invalid with it.
    """
    if changes:
        load_config(made.values, changes)  # for messages that name the change
    root, problems = apply(from_values(made.values, "the chosen recipe"), changes)
    if problems:
        raise ConfigError("\n".join(problems))
    comments = dict(made.comments)
    for change in changes:
        path = tuple(int(part) if part.isdigit() else part for part in change.partition("=")[0].strip().split("."))
        comments = {key: text for key, text in comments.items() if key[: len(path)] != path}
        comments[path] = "from -o"
    return Draft(plain(root), comments)


def _sets_rate(changes: List[str]) -> bool:
    """Return whether the user sets the learning rate, or another optimizer, for which its limits are not."""
    keys = ("Optimizer", "Optimizer.name", "Optimizer.lr", "Optimizer.lr.learning_rate")
    return any(change.partition("=")[0].strip() in keys for change in changes)


def _header(folder: Path, request: Request, path: Path) -> str:
    given = {
        "--model": request.model,
        "--epochs": request.epochs,
        "--image-size": request.image_size,
        "--pretrained": request.pretrained,
    }
    options = [word for name, value in given.items() if value is not None for word in (name, str(value))]
    options += [] if request.flip else ["--no-flip"]
    options += ["-o", *request.changes] if request.changes else []
    command = shlex.join(["ppcls", "train", str(folder), *options])
    again = shlex.join(["ppcls", "train", "-c", str(path), "-o", "Global.output_dir=output/another"])
    return f"Chosen by `{command}`. Edit it, then train by it into another folder:\n{again}"
