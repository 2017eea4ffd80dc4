"""Pack a folder of images into shards, in parallel. An interrupted run can be continued."""

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
from ppcls.data.packing.plan import PackOptions, ShardPlan, changed_options
from ppcls.data.packing.writing import PackedShard, reason_to_write, write_shard
from ppcls.data.transforms import image_files
from ppcls.data.workers import worker_pool
from ppcls.errors import ConfigError, DataError, MachineError
from ppcls.utils import environment, json_text
from ppcls.utils.locks import locked

_VERSION = 1
_REQUIRED_KEYS = {"version", "settings", "source", "starts", "shards"}


@dataclasses.dataclass(frozen=True)
class _Job:
    """The data that every worker process needs."""

    plan: ShardPlan
    folder: Path
    known: Dict[str, PackedShard]
    skip_broken: bool
    check: bool


_job: List[_Job] = []  # the job of this worker process


def pack(
    options: PackOptions, folder: Path, *, workers: Optional[int] = None, skip_broken: bool = False, check: bool = False
) -> Dict[str, Any]:
    """Write a source's images into shards, with ``labels.txt`` and ``PREFIX.pack.json``, which records the options.

    Intact shards of an earlier run are kept.

    Args:
        options: what to pack and how.
        folder: folder for the shards.
        workers: number of processes; by default one per core.
        skip_broken: leave out images that cannot be decoded. Otherwise they are an error, raised at the end.
        check: write nothing, but check that all shards exist and are intact.

    Returns:
        The counts, and the images that were left out.

    Raises:
        ConfigError: the folder contains shards of another source or with other options.
        DataError: the source is malformed, images are broken, or ``check`` found a missing or damaged shard.
        MachineError: shards cannot be written, or another process packs into the folder with the same prefix.
    """
    if workers is not None and workers < 1:
        raise ConfigError(f"--workers: must be at least 1, not {workers}")
    if options.list_file is None and Path(options.source).resolve() in (folder.resolve(), *folder.resolve().parents):
        raise ConfigError(f"--out: {folder}: is in the source, whose folders are classes; choose another")
    record = _PackRecord(folder / f"{options.prefix}.pack.json")
    before = record.read()
    # A run that finished no shard does not bind this one.
    earlier = before if check or _existing_shards(folder, options.prefix) else {}
    plan = ShardPlan(options, _earlier_starts(record, earlier, options))
    _require_same_source(record, earlier, plan)
    known = {name: PackedShard(**values) for name, values in earlier.get("shards", {}).items()}
    job = _Job(plan, folder, known, skip_broken, check)
    count = workers or environment.cores()
    if check:
        if not earlier:
            raise DataError(f"{record.path}: no such file; nothing was packed into {folder} with this prefix")
        results, reused = _process_shards(job, record, count)
    else:
        if plan.dataset.class_names is not None:
            check_labels(plan.dataset, len(plan.dataset.class_names))
        folder.mkdir(parents=True, exist_ok=True)
        with _lock(folder, options.prefix):
            if record.read() != before:
                raise MachineError(f"--out: {folder}: another process has packed into it meanwhile; start again")
            results, reused = _write(job, record, count, before.get("labels"))
    return _summary(plan, folder, results, reused, skip_broken)


def _existing_shards(folder: Path, prefix: str) -> List[str]:
    """Return the names of the shards with exactly this prefix."""
    pattern = re.compile(rf"{re.escape(prefix)}-\d+\.tar")
    return sorted(path.name for path in folder.glob("*.tar") if pattern.fullmatch(path.name))


def _lock(folder: Path, prefix: str) -> ContextManager[None]:
    return locked(
        *(folder / f".{prefix}.lock", f"--out: {folder}", f"is packing into this folder with --prefix {prefix}"),
        "wait for it, stop it, or choose another folder or --prefix",
    )


def _write(job: _Job, record: _PackRecord, workers: int, labels: Optional[str]) -> Tuple[Dict[str, PackedShard], int]:
    """Write the missing shards; return the results of all shards, and the number of those kept from an earlier run.

    Args:
        labels: digest of the ``labels.txt`` that an earlier run wrote.
    """
    folder, prefix = job.folder, job.plan.options.prefix
    _remove_temporary_files(folder, prefix)
    record.start(job.plan, job.known, _write_class_names(folder, job.plan.dataset.class_names, labels))
    try:
        return _process_shards(job, record, workers)
    finally:
        _remove_temporary_files(folder, prefix)


def _summary(
    plan: ShardPlan, folder: Path, results: Dict[str, PackedShard], reused: int, skip_broken: bool
) -> Dict[str, Any]:
    """Return the summary that the command prints.

    Raises:
        DataError: images are broken and may not be left out.
    """
    broken = [line for name in sorted(results) for line in results[name].broken]
    if broken and not skip_broken:
        title = f"{len(broken)} images are broken; repair them, or leave them out with --skip-broken:"
        raise DataError("\n  ".join([title, *broken]))
    labels = folder / names.CLASS_NAMES_FILE
    return {
        "folder": str(folder),
        "shards": sum(packed.tar is not None for packed in results.values()),
        "reused": reused,
        "samples": sum(packed.samples for packed in results.values()),
        "bytes": sum(packed.size for packed in results.values()),
        "classes": len(set(plan.dataset.labels.tolist())),
        "class_names": str(labels) if labels.exists() else None,
        "left_out": broken,
        "not_used": dict(image_files.count_by_suffix(plan.dataset.unused.others)),
    }


class _PackRecord:
    """The file ``PREFIX.pack.json``: the options and the finished shards."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._content: Dict[str, Any] = {}

    def read(self) -> Dict[str, Any]:
        """Return the content that an earlier run wrote; empty if there was none.

        Raises:
            DataError: the file is damaged or of another version.
        """
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            valid = isinstance(content, dict) and content["version"] == _VERSION and content.keys() >= _REQUIRED_KEYS
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError):
            valid = False
        if not valid:
            raise DataError(
                f"{self.path}: not written by this version; delete it and the shards, or choose another --out"
            )
        return dict(content)

    def start(self, plan: ShardPlan, known: Dict[str, PackedShard], labels: Optional[str]) -> None:
        """Write the record at the beginning of a run, with the shards that are known from earlier runs."""
        self._content = {
            "version": _VERSION,
            "settings": plan.options.to_dict(),
            "source": {"samples": plan.starts[-1], "digest": plan.digest},
            "starts": plan.starts,
            "labels": labels,
            "shards": {name: dataclasses.asdict(packed) for name, packed in known.items()},
        }
        self._write()

    def add(self, name: str, packed: PackedShard) -> None:
        """Record a finished shard."""
        self._content["shards"][name] = dataclasses.asdict(packed)
        self._write()

    def _write(self) -> None:
        shards = self._content["shards"]
        ordered = {**self._content, "shards": {name: shards[name] for name in sorted(shards)}}
        write_text(self.path, json_text.dumps(ordered, indent=1) + "\n")


def _earlier_starts(record: _PackRecord, earlier: Dict[str, Any], options: PackOptions) -> Optional[List[int]]:
    """Return the first position of each shard in an earlier run; None if there was none.

    Raises:
        ConfigError: the folder contains shards with other options, or shards without a record.
    """
    folder = record.path.parent
    if not earlier:
        shards = _existing_shards(folder, options.prefix)
        if shards:
            raise ConfigError(
                f"--out: {folder}: contains {shards[0]}, but no {record.path.name} that says what it is; choose "
                f"another folder or --prefix"
            )
        return None
    changes = changed_options(earlier["settings"], options.to_dict())
    if changes:
        raise ConfigError(
            f"--out: {folder}: was packed with other options ({'; '.join(changes)}); choose another folder or "
            f"--prefix, or delete what is there"
        )
    return list(earlier["starts"])


def _require_same_source(record: _PackRecord, earlier: Dict[str, Any], plan: ShardPlan) -> None:
    now = {"samples": len(plan.dataset), "digest": plan.digest}
    if earlier and earlier["source"] != now:
        raise ConfigError(
            f"--out: {record.path.parent}: was packed from {earlier['source']['samples']} images, and the source has "
            f"others now, or other labels ({len(plan.dataset)} images); choose another folder, or delete what is there"
        )


def _write_class_names(folder: Path, class_names: Optional[List[str]], earlier: Optional[str]) -> Optional[str]:
    """Write ``labels.txt``.

    Args:
        class_names: names to write; None if the source has none.
        earlier: digest of the file that an earlier run wrote. It is replaced if that run finished no shard.

    Returns:
        The digest of the file; None if it was not written by this command.

    Raises:
        ConfigError: the folder has other class names.
    """
    path = folder / names.CLASS_NAMES_FILE
    unchanged = not path.exists() or _digest(path.read_bytes()) == earlier
    replaceable = unchanged and not any(folder.glob("*.tar"))
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
    write_text(path, names.format_class_names(class_names))
    return _digest(path.read_bytes()) if unchanged else None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _remove_temporary_files(folder: Path, prefix: str) -> None:
    """Remove the temporary files of a run that was killed."""
    pattern = re.compile(rf"\.{re.escape(prefix)}(-\d+\.(tar|idx\.tsv)|\.pack\.json)\..*tmp")
    for path in folder.iterdir():
        if pattern.fullmatch(path.name):
            path.unlink(missing_ok=True)


def _process_shards(job: _Job, record: _PackRecord, workers: int) -> Tuple[Dict[str, PackedShard], int]:
    """Write or check all shards; return the results, and the number of those kept from an earlier run."""
    results: Dict[str, PackedShard] = {}
    reused, problems = 0, []
    plan = job.plan
    with worker_pool(min(workers, len(plan)), _set_job, job) as pool:
        shards = {pool.submit(_process_shard, shard): shard for shard in range(len(plan))}
        title = "checking" if job.check else "packing"
        with tqdm(total=plan.starts[-1], desc=title, unit="image", leave=False, disable=None) as bar:
            for future in as_completed(shards):
                shard = shards[future]
                packed, reason = future.result()
                name = plan.name(shard)
                results[name] = packed
                reused += not reason
                if job.check and reason:
                    problems.append(reason)
                elif reason and (job.skip_broken or not packed.broken):
                    record.add(name, packed)
                bar.update(plan.starts[shard + 1] - plan.starts[shard])
    if problems:
        raise DataError(
            "\n  ".join([f"{len(problems)} of {len(plan)} shards are not as they should be:", *sorted(problems)])
        )
    return results, reused


def _process_shard(shard: int) -> Tuple[PackedShard, str]:
    """Write or check a shard; return the result, and why it had to be written ("" if it is kept)."""
    job = _job[0]
    known = job.known.get(job.plan.name(shard))
    reason = reason_to_write(job.plan, shard, job.folder, known)
    if not reason and known is not None:
        return known, ""
    if job.check:
        return PackedShard(0, 0, None, None, "", []), reason
    return write_shard(job.plan, shard, job.folder, job.skip_broken), reason


def _set_job(job: _Job) -> None:
    _job[:] = [job]
