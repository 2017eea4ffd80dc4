"""Published weights in a cache: downloaded once, converted once.

The cache is ``$PPCLS_HOME/weights``, by default ``~/.cache/ppcls/weights``. Beside each file stands a copy as
safetensors, which is read faster; it is made anew if the file changes.
"""

from __future__ import annotations

import hashlib
import json
import urllib.parse
from pathlib import Path
from typing import Any, Dict, Optional

from safetensors.numpy import save_file

from ppcls.arch.model_spec import ModelSpec
from ppcls.errors import WeightsError
from ppcls.utils import atomic
from ppcls.utils.paths import cache_folder
from ppcls.weights.download import RetryPolicy, check_sha256, download, download_lock
from ppcls.weights.reader import read_selection
from ppcls.weights.record import read_record
from ppcls.weights.wrappers import Wanted

_SOURCE = "source"


def public_weights(spec: ModelSpec, policy: Optional[RetryPolicy] = None, key: Optional[str] = None) -> Path:
    """Return the path of a variant's published weights, downloaded unless they are in the cache.

    Args:
        key: of the weights to take from the file, which is kept as it is then.

    Raises:
        WeightsError: none are published, or they cannot be fetched; the message says where to put the file by hand.
    """
    if spec.url is None:
        raise WeightsError(
            f"{spec.name}: no published weights are known; give pretrained the path of a local file instead of true"
        )
    return _cached(spec.url, cache_path(spec), spec.sha256, policy or RetryPolicy(), key)


def cache_path(spec: ModelSpec) -> Path:
    """Return where the published weights of a variant that has some are kept, whether they are there or not."""
    return cache_folder() / "weights" / _basename(spec.url or "")


def cached_weights(spec: ModelSpec) -> Optional[Path]:
    """Return the file of a variant's published weights if it is in the cache; nothing is downloaded."""
    path = cache_path(spec)
    return path if spec.url is not None and path.is_file() else None


def download_weights(url: str, policy: Optional[RetryPolicy] = None, key: Optional[str] = None) -> Path:
    """Return the path of the weights at ``url``, downloaded unless they are in the cache.

    Args:
        key: of the weights to take from the file, which is kept as it is then.

    Raises:
        WeightsError: they cannot be fetched, or the file holds no weights.
    """
    # Files from different places often have the same name.
    name = f"{hashlib.sha256(url.encode()).hexdigest()[:8]}-{_basename(url)}"
    return _cached(url, cache_folder() / "weights" / name, None, policy or RetryPolicy(), key)


def _basename(url: str) -> str:
    name = Path(urllib.parse.unquote(urllib.parse.urlsplit(url).path)).name
    return "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in name)[-100:] or "weights"


def _cached(url: str, file: Path, sha256: Optional[str], policy: RetryPolicy, key: Optional[str]) -> Path:
    """Download ``url`` to ``file`` and convert that; return the path of the copy as safetensors.

    There is no copy of a file from which a part has to be chosen: that depends on the key and on the model.
    """
    download(url, file, sha256, policy)
    if key is not None:
        return file
    converted = file.with_name(file.name + ".safetensors")
    stamp = _source_version(file)
    try:
        with download_lock(converted, policy):
            if _read_source(converted) != stamp and not _convert(url, file, sha256, converted, stamp):
                return file
    except OSError as error:
        raise WeightsError(f"{converted}: cannot be written: {error.strerror or error}") from None
    return converted


def _convert(url: str, file: Path, sha256: Optional[str], converted: Path, stamp: str) -> bool:
    """Write the copy; return False, without one, if the file leaves a choice."""
    wrong_digest = check_sha256(file, sha256)  # it may have been put there by hand
    if wrong_digest is not None:
        raise WeightsError(
            f"{file}: its sha256 is {wrong_digest} instead of {sha256}...; delete it, or get {url} again"
        )
    try:
        read = read_selection(
            file, wanted=Wanted(fits=lambda names: True)
        )  # prefixes stay: the model tells what is one
    except WeightsError as error:
        raise WeightsError(f"{error}\nIt was fetched from {url}: delete it to fetch it again") from None
    if read.selection.others:
        return False
    arrays = {name: array.copy(order="C") for name, array in read.arrays.items()}
    with atomic.replacing(converted) as temporary:
        save_file(arrays, str(temporary), {**read_record(file).to_metadata(), _SOURCE: stamp})
    return True


def _source_version(file: Path) -> str:
    status = file.stat()
    return f"{status.st_size} {status.st_mtime_ns}"


def _read_source(converted: Path) -> Optional[str]:
    """Return the source version recorded in the copy; None if there is no copy, or it has no record."""
    if not converted.is_file():
        return None
    try:
        with converted.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header: Dict[str, Any] = json.loads(file.read(min(length, 1 << 26)))
        stamp = header["__metadata__"][_SOURCE]
    except (ValueError, KeyError, TypeError):
        return None
    return str(stamp)
