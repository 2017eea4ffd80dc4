"""Which checkpoint a run continues from, and whether that is the same run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

from ppcls.config.schema import AUTO, DEFAULT, Config
from ppcls.data.datasets import Classes
from ppcls.data.transforms import TRANSFORMS
from ppcls.engine import distillation
from ppcls.engine.checkpointing import checkpoint
from ppcls.engine.checkpointing.run_dir import archive_checkpoints
from ppcls.engine.model import weights_path
from ppcls.errors import CheckpointError, ConfigError, WeightsError
from ppcls.utils import distributed
from ppcls.utils.digests import sha256
from ppcls.utils.logging import get_logger
from ppcls.weights.download import is_url
from ppcls.weights.reader import find_file

Change = Tuple[str, Any, Any]  # dotted key, value before, value now

# What drives a run and does not make it another one. Anything else does: a key that is forgotten here asks too much.
_MAY_CHANGE = (
    *(
        "Global.device",
        "Global.cpu_threads",
        "Global.epochs",
        "Global.print_batch_step",
        "Global.log_ranks",
        "Global.log_format",
    ),
    *(
        "Global.use_visualdl",
        "Global.report",
        "Global.save_interval",
        "Global.save_every_minutes",
        "Global.save_every_steps",
        "Global.keep_checkpoints",
    ),
    *("Global.eval_during_train", "Global.eval_interval", "Global.start_eval_epoch", "Global.save_inference_dir"),
    *("Global.drop_mismatched_head", "DataLoader.Train.loader", "DataLoader.Eval.loader", "Infer"),
    *("DataLoader.Eval.sampler.batch_size", "Global.early_stopping", "Metric.Train", "Global.image_shape", "Callbacks"),
    *("Global.imported", "Global.allow_unused_classes", "Global.allow_other_preprocessing", "Global.cpu_threads"),
    # The same numbers, computed otherwise; the same files, elsewhere.
    *(
        "Arch.recompute",
        "Global.to_static",
        "DataLoader.Train.dataset.image_root",
        "DataLoader.Eval.dataset.image_root",
    ),
)
# Where a run is, and what its weights were: the latter are compared by content.
_LOCATION_KEYS = ("Global.checkpoints", "Global.output_dir", "Global.output_layout")
_WEIGHTS = ("Global.pretrained_model", "Arch.pretrained")


def select_checkpoint(config: Config, folder: Path) -> Optional[Path]:
    """Return the prefix of the checkpoint that ``Global.checkpoints`` means; None for a new run.

    With ``auto`` it is the newest whole one in ``folder``; damaged ones are said and passed over.

    Raises:
        CheckpointError: there are some, and all are damaged.
        ConfigError: they are of a run by another recipe.
    """
    wanted = config.Global.checkpoints
    if not wanted:
        return None
    if wanted != AUTO:
        prefix = checkpoint.strip_suffix(wanted)
        _require_prefix(config, prefix)
        return prefix
    faults: List[str] = []
    for prefix in checkpoint.newest_first(folder):
        wrong = checkpoint.find_damage(prefix)
        if wrong is not None:
            faults.append(wrong)
            continue
        for text in faults:
            get_logger().warning("%s; continuing from %s, the newest that is whole", text, prefix)
        require_same_run(config, checkpoint.read_states(prefix), folder)
        return prefix
    if faults:
        raise CheckpointError(
            f"no checkpoint in {folder} is whole: {'; '.join(faults)}. To start again, move {folder} away or choose "
            f"another Global.output_dir"
        )
    return None


def _require_prefix(config: Config, prefix: Path) -> None:
    """Refuse what can hold no checkpoint."""
    if checkpoint.exists(prefix):
        return
    key = f"{config.where('Global', 'checkpoints')}: Global.checkpoints"
    if prefix.is_dir():
        there = [other for other in (prefix / "latest", *checkpoint.newest_first(prefix)) if checkpoint.exists(other)]
        advice = f"give one of its checkpoints, such as {there[0]}" if there else "and it has no checkpoints"
        raise CheckpointError(f"{key}: {prefix} is a folder; {advice}")
    if not prefix.parent.is_dir():
        raise CheckpointError(f"{key}: {prefix}: the folder {prefix.parent} does not exist")


def archive_later_checkpoints(folder: Path, prefix: Path) -> None:
    """Move the checkpoints of a run that went on further than ``prefix``, and is not continued, out of its way."""
    position = checkpoint.position_of(prefix)
    others = [other for other in checkpoint.newest_first(folder) if other.name != prefix.name]
    later = [other.name for other in others if checkpoint.position_of(other) > position]
    if later:
        target = archive_checkpoints(folder, later)
        get_logger().warning("%s: later than %s, or damaged; moved to %s", ", ".join(later), prefix.name, target)


def restore_best(folder: Path, prefix: Path, epoch: int) -> bool:
    """Make a missing ``best_model`` again of what is left of its epoch; return whether there is one.

    Args:
        epoch: which epoch's model is the best, 0 if none is yet.
    """
    best = folder / "best_model"
    if not epoch or checkpoint.exists(best):
        return True
    for source in (prefix, folder / f"epoch_{epoch}"):
        if checkpoint.position_of(source) == (epoch, 0) and checkpoint.find_damage(source) is None:
            checkpoint.link_checkpoint(source, best)
            return True
    return False


def differences(before: Any, now: Any, path: str = "") -> Iterator[Change]:
    """Yield each setting that is not what it was, whichever side lacks it; not where the run is."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            yield from differences(before.get(key), now.get(key), f"{path}.{key}".lstrip("."))
    elif before != now and path not in _LOCATION_KEYS:
        yield path, before, now


def changes_since(states: Mapping[str, Any], config: Config) -> Iterator[Change]:
    """Yield each setting that is not what it was in saved states; batches are compared over all processes.

    A setting that the version of then did not know, and that nobody sets, does what that version did.
    """
    before = _comparable(states["config"], states.get("processes") or 1)
    for key, value, now in differences(before, _comparable(config.plain(), distributed.world_size())):
        if key == "Arch.class_num" and not config.has_class_num:
            continue  # it follows from the data, which are not read yet
        if _is_known(before, key) or _where(config, key) != DEFAULT:
            yield key, value, now


def _is_known(config: Mapping[str, Any], key: str) -> bool:
    """Return whether a recipe has a value for a dotted key."""
    found: Any = config
    for part in key.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return False
        found = found[part]
    return True


def _comparable(config: Mapping[str, Any], processes: int) -> Dict[str, Any]:
    """Return a recipe in which what means the same is written alike."""
    return _with_global_batch(_with_augmentation_sizes(_with_import_digests(config)), processes)


def _with_augmentation_sizes(config: Dict[str, Any]) -> Dict[str, Any]:
    """Return a recipe whose training transforms have an ``img_size``, which earlier versions left to its default."""
    loaders = config["DataLoader"]
    if loaders.get("Train") is None:
        return config
    dataset = loaders["Train"]["dataset"]
    ops = [
        {name: {**_default_size(name), **(arguments or {})} or None for name, arguments in op.items()}
        for op in dataset.get("transform_ops") or []
    ]
    train = {**loaders["Train"], "dataset": {**dataset, "transform_ops": ops}}
    return {**config, "DataLoader": {**loaders, "Train": train}}


def _default_size(name: str) -> Dict[str, Any]:
    """Return the default ``img_size`` of a transform, nothing for one without."""
    parameters = TRANSFORMS[name].parameters() if name in TRANSFORMS else []
    return {parameter.name: parameter.default for parameter in parameters if parameter.name == "img_size"}


def _with_import_digests(config: Mapping[str, Any]) -> Dict[str, Any]:
    """Return a recipe in which imports are compared by their content, of which the first digits of the digest tell."""
    imported = [f"{item['name']} {item['sha256'] or '':.12}" for item in config["Global"].get("imported") or []]
    settings = {key: value for key, value in config["Global"].items() if key != "imports"}
    return {**config, "Global": {**settings, "imported": imported}}


def _with_global_batch(config: Dict[str, Any], processes: int) -> Dict[str, Any]:
    """Return a recipe with the training batch of all its processes, where it has one."""
    loaders = config["DataLoader"]
    train = loaders.get("Train")
    if processes == 1 or train is None:
        return config
    key = "batch_size" if "batch_size" in train["sampler"] else "first_bs"
    sampler = {**train["sampler"], key: train["sampler"][key] * processes}
    return {**config, "DataLoader": {**loaders, "Train": {**train, "sampler": sampler}}}


def run_defining_changes(changes: Iterator[Change]) -> List[Change]:
    """Return the changes that make another run; of weights to start from, which are compared by content, none."""
    return [change for change in changes if change[0] not in _WEIGHTS and not _is_below(change[0], _MAY_CHANGE)]


def _is_below(key: str, keys: Tuple[str, ...]) -> bool:
    return any(key == other or key.startswith(other + ".") for other in keys)


def require_same_run(config: Config, states: Mapping[str, Any], folder: Path) -> None:
    """Check that a run can be continued by a recipe.

    Args:
        states: of the run, of which "config", "processes" and "start" are used.
        folder: where it is.

    Raises:
        ConfigError: it began by another recipe, or from other weights.
    """
    changes = run_defining_changes(changes_since(states, config))
    lines = [f"{key} was {before!r} and is {now!r} ({_where(config, key)})" for key, before, now in changes]
    lines += _describe_other_weights(config, states) + _describe_other_teacher(config, states)
    if lines:
        listed = "\n".join(f"  {line}" for line in lines)
        raise ConfigError(
            f"{folder} holds a run by another recipe:\n{listed}\nUndo these changes to continue the run, choose "
            f"another Global.output_dir, or move {folder} away to start again"
        )


def require_same_classes(now: Classes, prefix: Path) -> None:
    """Check that a run continues with the classes that it began with.

    Raises:
        CheckpointError: the training data name or number them otherwise.
    """
    before = Classes.from_json(checkpoint.read_states(prefix).get("classes"))
    if before is None:  # of an earlier version
        return
    for kind, old, new in (("classes", before.names, now.names), ("labels", before.labels, now.labels)):
        if old is not None and new is not None and list(old) != list(new):
            index = next((i for i, pair in enumerate(zip(old, new)) if pair[0] != pair[1]), min(len(old), len(new)))
            was, found = (repr(values[index]) if index < len(values) else "missing" for values in (old, new))
            raise CheckpointError(
                f"{prefix} was trained on other {kind}: number {index} was {was} and is {found} in the training data; "
                f"undo that, or train another run from its weights: -o Global.checkpoints=null "
                f"Global.pretrained_model={prefix}"
            )


def require_same_frozen(config: Config, prefix: Path) -> None:
    """Check that the optimizer's state at ``prefix`` is of the parameters that are trained now.

    Raises:
        ConfigError: others are frozen.
    """
    before = checkpoint.read_states(prefix)["config"]["Global"].get("freeze") or []
    if before != list(config.Global.freeze):
        raise ConfigError(
            f"{config.where('Global', 'freeze')}: Global.freeze was {before} when {prefix} was saved and is "
            f"{list(config.Global.freeze)}, so the optimizer's state is of other parameters. To train on from its "
            f"weights: -o Global.checkpoints=null Global.pretrained_model={prefix}, or use Stages"
        )


def require_same_weight_options(config: Config, prefix: Path) -> None:
    """Refuse to resume with settings of weights to start from that the run did not start with.

    Raises:
        ConfigError: there are some; the checkpoint knows its own weights.
    """
    before = checkpoint.read_states(prefix)["config"]["Global"]
    for key in ("weights_key", "weights_image_size"):
        value = getattr(config.Global, key)
        if value is not None and value != before.get(key):
            raise ConfigError(
                f"{config.where('Global', key)}: Global.{key}: describes weights to start from, and {prefix}, which is "
                "resumed, knows its own; leave it out"
            )


def _where(config: Config, key: str) -> str:
    return config.where(*(int(part) if part.isdigit() else part for part in key.split(".")))


def _describe_other_weights(config: Config, states: Mapping[str, Any]) -> List[str]:
    """Return what to say when the run began with other weights than it would begin with now."""
    start: Dict[str, str] = states.get("start") or {}
    named = config.Global.pretrained_model or config.Arch.pretrained or None
    key = ("Global", "pretrained_model") if config.Global.pretrained_model else ("Arch", "pretrained")
    where = config.where(*key)
    before = states["config"]["Global"]["pretrained_model"] or states["config"]["Arch"]["pretrained"] or None
    local = isinstance(named, str) and not is_url(named)
    now = (fingerprint(weights_path(config)) or {}) if local else {}
    # Without anything to compare, as with published weights or a file that is gone, the name has to do.
    same = now["sha256"] == start["sha256"] if now and start else named == before
    if same:
        return []
    if named == before:
        return [f"it began with weights that {named} does not hold any more"]
    return [f"it began with the weights {start.get('weights', before)}, and {named} ({where}) are others"]


def _describe_other_teacher(config: Config, states: Mapping[str, Any]) -> List[str]:
    """Return what to say when the run learned from a teacher with other weights than it has now."""
    named = distillation.teacher_weights(config)
    lines = []
    for name, before in _saved_teachers(states).items():
        weights = named.get(name)
        now = fingerprint(weights) if weights is not None and not is_url(weights) else None
        if now is not None and before["sha256"] != now["sha256"]:
            whose = "its teacher" if name == distillation.TEACHER else f"its model {name}"
            lines.append(f"{whose} had the weights {before['weights']}, and {weights} holds others now")
    return lines


def _saved_teachers(states: Mapping[str, Any]) -> Dict[str, Dict[str, str]]:
    """Return which weights other models had when states were saved, by the model's name."""
    earlier = states.get("teacher")  # of versions with one teacher
    return dict(states.get("teachers") or ({distillation.TEACHER: earlier} if earlier else {}))


def teacher_fingerprints(config: Config) -> Dict[str, Dict[str, str]]:
    """Return which weights the other models of a distillation have, by name, as ``fingerprint`` does."""
    found = {name: fingerprint(weights) for name, weights in distillation.teacher_weights(config).items()}
    return {name: weights for name, weights in found.items() if weights is not None}


def fingerprint(weights: Optional[str]) -> Optional[Dict[str, str]]:
    """Return which weights these are, {"weights": as named, "sha256": of the file}; None where there is no file."""
    if weights is None:
        return None
    try:
        return {"weights": weights, "sha256": sha256(find_file(weights))}
    except WeightsError:
        return None
