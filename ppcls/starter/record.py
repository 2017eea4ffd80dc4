"""What a run's folder remembers of the command that began it, so that the same command continues it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Dict, List, Optional

from ppcls.engine.checkpointing import checkpoint
from ppcls.errors import CheckpointError, ConfigError
from ppcls.utils import atomic, json_text

RECORD = "starter.json"
RECIPE = "recipe.yaml"


@dataclass(frozen=True)
class Request:
    """What was asked for.

    Attributes:
        folder: the absolute path of the images.
        model, epochs, image_size, pretrained: the options of these names; None where they were not given.
        flip: False with ``--no-flip``.
        changes: those of ``-o``, in order.
    """

    folder: str
    model: Optional[str] = None
    epochs: Optional[int] = None
    image_size: Optional[int] = None
    pretrained: Optional[str] = None
    flip: bool = True
    changes: List[str] = field(default_factory=list)


@dataclass(frozen=True)
class Record:
    """The record of a run.

    Attributes:
        request: what it began with.
        counts: number of images per class then.
        finished: the best result, where the run is finished.
    """

    request: Request
    counts: Dict[str, int]
    finished: Optional[Dict[str, Any]] = None

    def write(self, run: Path) -> None:
        """Write the record into a run's folder.

        Raises:
            MachineError: it cannot be written.
        """
        atomic.write_text(run / RECORD, json_text.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")


def read(run: Path) -> Optional[Record]:
    """Return the record of a run's folder; None where there is none.

    Raises:
        CheckpointError: it is damaged.
    """
    path = run / RECORD
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Record(Request(**values["request"]), dict(values["counts"]), values["finished"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path}: damaged ({error}); continue the run with `ppcls train -c {run / RECIPE}`, or choose another "
            f"--output"
        ) from None


def require_continuable(record: Record, request: Request, run: Path) -> None:
    """Refuse to continue a run that is finished, or that was begun by another command.

    Raises:
        ConfigError: it is, or was.
    """
    before, now = asdict(record.request), asdict(request)
    names = {"folder": "the folder", "changes": "-o", "flip": "mirror images"}
    lines = [
        f"  {names.get(item.name, '--' + item.name.replace('_', '-'))} was {_shown(before[item.name])} and is "
        f"{_shown(now[item.name])}"
        for item in fields(Request)
        if before[item.name] != now[item.name]
    ]
    if lines:
        raise ConfigError(
            f"{run} holds a run that was begun by another command:\n" + "\n".join(lines) + "\nUse the same options "
            "to continue the run, or choose another folder with --output"
        )
    if record.finished is not None:
        reached = ", ".join(f"{name} {value:g}" for name, value in record.finished.items())
        report = run / "report.html"
        where = f"Its report is {report}.\n" if report.exists() else ""
        raise ConfigError(
            f"{run} holds a finished run of this command ({reached}); nothing was changed. {where}"
            "To train anew, choose another folder: --output NEW\n"
            f"To train it longer: ppcls train -c {run / RECIPE} -o Global.epochs=N"
        )


def require_free(run: Path) -> None:
    """Refuse a folder with a run that ``ppcls train FOLDER`` did not begin.

    Raises:
        ConfigError: there is one.
    """
    there = [name for name in (RECIPE, "config.yaml", "train.log") if (run / name).exists()]
    there += [prefix.name for prefix in checkpoint.newest_first(run)[:1]] if run.is_dir() else []
    if there:
        raise ConfigError(
            f"{run}: already holds files of another run ({', '.join(there)}); choose another folder with --output"
        )


def _shown(value: Any) -> str:
    return "not given" if value is None or value == [] else repr(value)
