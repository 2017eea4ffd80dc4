"""A folder of shards from a folder of images, by several processes, continued where it was interrupted."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from concurrent.futures import as_completed
from pathlib import Path
from typing import Any, ContextManager, Dict, List, Optional, Tuple

from tqdm import tqdm

from ppcls.data.datasets import check_labels, names
from ppcls.data.datasets.shards.index import write_text
from ppcls.data.packing.plan import Plan, Settings, differing
from ppcls.data.packing.writing import Packed, unfinished, write_shard
from ppcls.data.workers import worker_pool
from ppcls.errors import ConfigError, DataError, MachineError
from ppcls.utils import environment
from ppcls.utils.locks import locked

_VERSION = 1
_KEYS = {"version", "settings", "source", "starts", "shards"}


@dataclasses.dataclass(frozen=True)
class _Job:
    """What every worker process knows."""

    plan: Plan
    folder: Path
    known: Dict[str, Packed]
    skip_broken: bool
    check: bool


_job: List[_Job] = []  # of this worker process


def pack(
    settings: Settings, folder: Path, *, workers: Optional[int] = None, skip_broken: bool = False, check: bool = False
) -> Dict[str, Any]:
    """Write a source's images into shards, ``labels.txt`` and ``PREFIX.pack.json``, which says how they were made.

    Shards that an earlier run has finished are kept, once it is clear that they are whole.

    Args:
        folder: where the shards go.
        workers: processes; None for one a core.
        skip_broken: leave images out that cannot be decoded; else they are an error, after all were looked at.
        check: write nothing; it is an error if not every shard is there and whole.

    Returns:
        Counts, and the images that were left out.

    Raises:
        ConfigError: the folder holds shards of another source or with other settings.
        DataError: the source is malformed, images are broken, or what ``check`` says.
        MachineError: shards cannot be written, or another process packs into the folder with the same prefix.
    """
    if workers is not None and workers < 1:
        raise ConfigError(f"--workers: must be from 1 up, not {workers}")
    if settings.list_file is None and Path(settings.source).resolve() in (folder.resolve(), *folder.resolve().parents):
        raise ConfigError(f"--out: {folder}: is in the source, whose folders are classes; choose another")
    record = _Record(folder / f"{settings.prefix}.pack.json")
    before = record.read()
    # What a run that has finished no shard wrote binds nobody.
    earlier = before if check or _shards(folder, settings.prefix) else {}
    plan = Plan(settings, _starts(record, earlier, settings))
    _require_same_source(record, earlier, plan)
    known = {name: Packed(**values) for name, values in earlier.get("shards", {}).items()}
    job = _Job(plan, folder, known, skip_broken, check)
    count = workers or environment.cores()
    if check:
        if not earlier:
            raise DataError(f"{record.path}: no such file; nothing was packed into {folder} with this prefix")
        results, reused = _run(job, record, count)
    else:
        if plan.dataset.class_names is not None:
            check_labels(plan.dataset, len(plan.dataset.class_names))
        folder.mkdir(parents=True, exist_ok=True)
        with _claimed(folder, settings.prefix):
            if record.read() != before:
                raise MachineError(f"--out: {folder}: another process has packed into it meanwhile; start again")
            results, reused = _write(job, record, count, before.get("labels"))
    return _summary(plan, folder, results, reused, skip_broken)


def _shards(folder: Path, prefix: str) -> List[str]:
    """Return the names of the shards with a prefix, and not of those whose prefix begins like it."""
    ours = re.compile(rf"{re.escape(prefix)}-\d+\.tar")
    return sorted(path.name for path in folder.glob("*.tar") if ours.fullmatch(path.name))


def _claimed(folder: Path, prefix: str) -> ContextManager[None]:
    return locked(
        *(folder / f".{prefix}.lock", f"--out: {folder}", f"is packing into this folder with --prefix {prefix}"),
        "wait for it, stop it, or choose another folder or --prefix",
    )


def _write(job: _Job, record: _Record, workers: int, labels: Optional[str]) -> Tuple[Dict[str, Packed], int]:
    """Write what is missing; return what became of all shards, and how many were there already.

    Args:
        labels: digest of the ``labels.txt`` that an earlier run wrote.
    """
    folder, prefix = job.folder, job.plan.settings.prefix
    _remove_temporaries(folder, prefix)
    record.begin(job.plan, job.known, _write_names(folder, job.plan.dataset.class_names, labels))
    try:
        return _run(job, record, workers)
    finally:
        _remove_temporaries(folder, prefix)


def _summary(plan: Plan, folder: Path, results: Dict[str, Packed], reused: int, skip_broken: bool) -> Dict[str, Any]:
    """Return what to print.

    Raises:
        DataError: images are broken, and may not be left out.
    """
    broken = [line for name in sorted(results) for line in results[name].broken]
    if broken and not skip_broken:
        title = f"{len(broken)} images are broken; repair them, or leave them out with --skip-broken:"
        raise DataError("\n  ".join([title, *broken]))
    labels = folder / names.FILE
    return {
        "folder": str(folder),
        "shards": sum(packed.tar is not None for packed in results.values()),
        "reused": reused,
        "samples": sum(packed.samples for packed in results.values()),
        "bytes": sum(packed.size for packed in results.values()),
        "classes": len(set(plan.dataset.labels.tolist())),
        "class_names": str(labels) if labels.exists() else None,
        "left_out": broken,
    }


class _Record:
    """``PREFIX.pack.json``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._content: Dict[str, Any] = {}

    def read(self) -> Dict[str, Any]:
        """Return what an earlier run wrote, nothing if there was none.

        Raises:
            DataError: it is damaged.
        """
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            known = isinstance(content, dict) and content["version"] == _VERSION and content.keys() >= _KEYS
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError):
            known = False
        if not known:
            raise DataError(
                f"{self.path}: not written by this version; delete it and the shards, or choose another --out"
            )
        return dict(content)

    def begin(self, plan: Plan, known: Dict[str, Packed], labels: Optional[str]) -> None:
        """Write what is known before the work begins."""
        self._content = {
            "version": _VERSION,
            "settings": plan.settings.plain(),
            "source": {"samples": plan.starts[-1], "digest": plan.digest},
            "starts": plan.starts,
            "labels": labels,
            "shards": {name: dataclasses.asdict(packed) for name, packed in known.items()},
        }
        self._write()

    def add(self, name: str, packed: Packed) -> None:
        """Write that a shard is finished."""
        self._content["shards"][name] = dataclasses.asdict(packed)
        self._write()

    def _write(self) -> None:
        shards = self._content["shards"]
        ordered = {**self._content, "shards": {name: shards[name] for name in sorted(shards)}}
        write_text(self.path, json.dumps(ordered, indent=1) + "\n")


def _starts(record: _Record, earlier: Dict[str, Any], settings: Settings) -> Optional[List[int]]:
    """Return where the shards of an earlier run start.

    Raises:
        ConfigError: the folder holds shards by other settings, or by something else.
    """
    folder = record.path.parent
    if not earlier:
        there = _shards(folder, settings.prefix)
        if there:
            raise ConfigError(
                f"--out: {folder}: holds {there[0]}, and no {record.path.name} that says what it is; choose another "
                f"folder or --prefix"
            )
        return None
    changes = differing(earlier["settings"], settings.plain())
    if changes:
        raise ConfigError(
            f"--out: {folder}: was packed with other settings ({'; '.join(changes)}); choose another folder or "
            f"--prefix, or delete what is there"
        )
    return list(earlier["starts"])


def _require_same_source(record: _Record, earlier: Dict[str, Any], plan: Plan) -> None:
    now = {"samples": len(plan.dataset), "digest": plan.digest}
    if earlier and earlier["source"] != now:
        raise ConfigError(
            f"--out: {record.path.parent}: was packed from {earlier['source']['samples']} images, and the source has "
            f"others now, or other labels ({len(plan.dataset)} images); choose another folder, or delete what is there"
        )


def _write_names(folder: Path, class_names: Optional[List[str]], earlier: Optional[str]) -> Optional[str]:
    """Write ``labels.txt``; return its digest, None where it is not of these commands' making.

    Args:
        earlier: digest of what an earlier run wrote: replaced where it finished no shard.

    Raises:
        ConfigError: there are other names.
    """
    path = folder / names.FILE
    own = not path.exists() or _digest(path.read_bytes()) == earlier
    replaceable = own and not any(folder.glob("*.tar"))
    if class_names is None:
        if path.exists() and not replaceable:
            raise ConfigError(
                f"--out: {path}: has class names, and the source has none: put its labels.txt beside the list, or "
                f"choose another folder"
            )
        path.unlink(missing_ok=True)
        return None
    if path.exists() and not replaceable and names.read_class_names(path) != class_names:
        raise ConfigError(f"--out: {path}: has other class names; choose another folder for shards of other classes")
    write_text(path, names.to_text(class_names))
    return _digest(path.read_bytes()) if own else None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _remove_temporaries(folder: Path, prefix: str) -> None:
    """Remove what a run that was killed has left."""
    left = re.compile(rf"\.{re.escape(prefix)}(-\d+\.(tar|idx\.tsv)|\.pack\.json)\..*tmp")
    for path in folder.iterdir():
        if left.fullmatch(path.name):
            path.unlink(missing_ok=True)


def _run(job: _Job, record: _Record, workers: int) -> Tuple[Dict[str, Packed], int]:
    """Have all shards written or checked; return what became of them, and how many were there already."""
    results: Dict[str, Packed] = {}
    reused, faults = 0, []
    plan = job.plan
    with worker_pool(min(workers, len(plan)), _remember, job) as pool:
        shards = {pool.submit(_work, shard): shard for shard in range(len(plan))}
        title = "checking" if job.check else "packing"
        with tqdm(total=plan.starts[-1], desc=title, unit="image", leave=False, disable=None) as bar:
            for future in as_completed(shards):
                shard = shards[future]
                packed, reason = future.result()
                name = plan.name(shard)
                results[name] = packed
                reused += not reason
                if job.check and reason:
                    faults.append(reason)
                elif reason and (job.skip_broken or not packed.broken):
                    record.add(name, packed)
                bar.update(plan.starts[shard + 1] - plan.starts[shard])
    if faults:
        raise DataError(
            "\n  ".join([f"{len(faults)} of {len(plan)} shards are not as they should be:", *sorted(faults)])
        )
    return results, reused


def _work(shard: int) -> Tuple[Packed, str]:
    """Return what became of a shard, and why it had to be written, "" if it had not."""
    job = _job[0]
    known = job.known.get(job.plan.name(shard))
    reason = unfinished(job.plan, shard, job.folder, known)
    if not reason and known is not None:
        return known, ""
    if job.check:
        return Packed(0, 0, None, None, "", []), reason
    return write_shard(job.plan, shard, job.folder, job.skip_broken), reason


def _remember(job: _Job) -> None:
    _job[:] = [job]
