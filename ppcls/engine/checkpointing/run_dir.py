"""The folder of a run: writable, with room, and without another run's files."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Collection, ContextManager, Optional, Sequence

import paddle

from ppcls.engine.metrics_log import METRICS
from ppcls.errors import MachineError
from ppcls.inference import description
from ppcls.utils.locks import locked
from ppcls.utils.logging import get_logger

# What a run writes. Anything else in the folder is not touched.
_RUN_FILES = re.compile(
    r"(?P<checkpoint>latest|best_model|epoch_\d+)(_raw)?\.(pdparams|pdopt|pdstates|commit)(\.\w+\.tmp)?"
    r"|train\.log|metrics\.jsonl|config\.yaml|finished\.json|skipped_images\.txt|vdl"
)

EXPORT = "inference"  # where a run's model is exported to, in its folder


def ensure_writable(folder: Path, key: str = "Global.output_dir", given: Optional[str] = None) -> None:
    """Make a folder and prove that files can be written there.

    Args:
        key: what names it in the recipe.
        given: its value there, where that is not the folder itself.

    Raises:
        MachineError: they cannot.
    """
    probe = folder / ".writable"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        raise MachineError(
            f"{key}={given or folder}: cannot be written to: {error.strerror}; choose another with -o {key}=..."
        ) from None


def lock_run_dir(folder: Path) -> ContextManager[None]:
    """Keep other runs out of a folder; the system lets it go when this process ends, however it ends.

    Raises:
        MachineError: another process trains in the folder.
    """
    advice = "wait for it, stop it, or choose another with -o Global.output_dir=..."
    return locked(folder / ".lock", f"Global.output_dir={folder}", "is training in this folder", advice)


def check_space(folder: Path, model: paddle.nn.Layer, averaged: bool = False) -> None:
    """Refuse to start where even two checkpoints (weights and at most two moments each) do not fit.

    Args:
        averaged: whether there is an average of the weights, too.

    Raises:
        MachineError: there is too little room.
    """
    weights = sum(int(p.size) * p.element_size() for p in model.state_dict().values())
    needed, free = 2 * (3 + averaged) * weights, shutil.disk_usage(folder).free
    if free < needed:
        raise MachineError(
            f"Global.output_dir={folder}: {free / 1e6:.1f} MB free, a run needs {needed / 1e6:.1f} MB; make room, or "
            f"choose another with -o Global.output_dir=..."
        )


def archive_previous_run(folder: Path) -> None:
    """Move an earlier run's files into ``previous_N``, so that a new one loses nothing."""
    earlier = [path for path in folder.iterdir() if _RUN_FILES.fullmatch(path.name) or _is_export(path)]
    if not earlier:
        return
    target = _moved(earlier, folder)
    get_logger().warning(
        "%s held another run: it is in %s now. To continue it instead: -o Global.checkpoints=%s",
        *(folder, target, target / "latest"),
    )


def _is_export(path: Path) -> bool:
    """Return whether this is where ``ppcls export RUN`` wrote the run's model."""
    return path.name == EXPORT and (path / description.FILE).is_file()


def archive_checkpoints(folder: Path, names: Collection[str]) -> Path:
    """Move checkpoints into ``previous_N``, with a copy of the metrics up to them; return where they are."""
    matches = [(path, _RUN_FILES.fullmatch(path.name)) for path in folder.iterdir()]
    target = _moved([path for path, match in matches if match and match["checkpoint"] in names], folder)
    if (folder / METRICS).exists():
        shutil.copy2(folder / METRICS, target / METRICS)
    return target


def _moved(paths: Sequence[Path], folder: Path) -> Path:
    number = 1
    while (folder / f"previous_{number}").exists():
        number += 1
    target = folder / f"previous_{number}"
    target.mkdir()
    for path in paths:
        path.rename(target / path.name)
    return target
