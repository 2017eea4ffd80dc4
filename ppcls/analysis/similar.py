"""The photos that a model finds most alike: those with the nearest features."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ppcls.errors import DataError, MachineError
from ppcls.inference.predictor import BasePredictor
from ppcls.inference.source import Source
from ppcls.utils import atomic
from ppcls.utils.logging import get_logger

Stamp = Tuple[str, int, int]  # path, bytes, and time of the last change


class Neighbour(NamedTuple):
    """A photo, and the cosine of the angle between its features and those of the query, -1 to 1."""

    name: str
    similarity: float


class FeatureCache:
    """Features of files, kept in a file that the user names, so that only new and changed photos are computed.

    Features of another model, or of other preprocessing, are not used.

    Args:
        path: an .npz file; None keeps nothing.
        predictor: computes the features.

    Raises:
        DataError: the file is no such cache.
    """

    def __init__(self, path: Optional[Path], predictor: BasePredictor) -> None:
        self._path, self._predictor = path, predictor
        self._model = _model_digest(predictor) if path is not None else ""
        self._known: Dict[Stamp, np.ndarray] = {} if path is None else _read(path, self._model)

    def features(self, sources: Sequence[Source], title: str) -> List[Any]:
        """Return the features [C] float32 of each image, or its DataError.

        Args:
            title: of the progress bar.

        Raises:
            ConfigError: the model gives no features.
            MachineError: the cache cannot be written.
        """
        from tqdm import tqdm

        stamps = [_stamp(source) for source in sources]
        # Looked up before any is added: links to one file have one stamp.
        found = [None if stamp is None else self._known.get(stamp) for stamp in stamps]
        missing = [source for source, known in zip(sources, found) if known is None]
        computed = self._predictor.features(missing)
        bar = tqdm(computed, title, len(missing), unit="image", leave=False, disable=None)
        fresh = iter([values for _, values in bar])
        result = []
        for stamp, known in zip(stamps, found):
            values = next(fresh) if known is None else known
            result.append(values)
            if stamp is not None and isinstance(values, np.ndarray):
                self._known[stamp] = values
        if self._path is not None:
            known_count = len(sources) - len(missing)
            get_logger().info("features: %d from %s, %d computed", known_count, self._path, len(missing))
            _write(self._path, self._model, self._known)
        return result


def nearest(query: np.ndarray, features: Sequence[Any], names: Sequence[str], count: int) -> List[Neighbour]:
    """Return the photos with the most similar features, the most similar first.

    Args:
        query: features [C] float32.
        features: [C] of each photo, or an error for one that cannot be used.
        names: of the photos.
        count: at most so many.
    """
    rows = [index for index, values in enumerate(features) if isinstance(values, np.ndarray)]
    if not rows:
        return []
    matrix = np.stack([features[index] for index in rows]).astype(np.float64)
    lengths = np.linalg.norm(matrix, axis=1) * np.linalg.norm(query.astype(np.float64))
    cosines = matrix @ query.astype(np.float64) / np.maximum(lengths, 1e-12)
    order = np.argsort(-cosines, kind="stable")[:count]
    return [Neighbour(names[rows[index]], float(cosines[index])) for index in order]


def _stamp(source: Source) -> Optional[Stamp]:
    """Return what identifies a file's content, without reading it; None for what is no file."""
    if not isinstance(source.data, Path):
        return None
    try:
        facts = source.data.stat()
    except OSError:
        return None
    return str(source.data.resolve()), facts.st_size, facts.st_mtime_ns


def _model_digest(predictor: BasePredictor) -> str:
    """Return a digest of a model's weights and of its preprocessing."""
    digest = hashlib.sha256(repr(predictor.pipeline.transforms).encode())
    model = getattr(predictor, "model", None)
    for name, value in sorted(model.state_dict().items()) if model is not None else ():
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(np.asarray(value)).tobytes())
    return digest.hexdigest()


def _read(path: Path, model: str) -> Dict[Stamp, np.ndarray]:
    if not path.exists():
        return {}
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file["model"]) != model:
                get_logger().info("%s: features of another model; they are computed again", path)
                return {}
            stamps = zip(file["names"].tolist(), file["sizes"].tolist(), file["times"].tolist())
            return dict(zip(stamps, file["features"]))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a file of features ({error}); delete it, or name another with --cache") from None


def _write(path: Path, model: str, known: Dict[Stamp, np.ndarray]) -> None:
    if not known:
        return
    names, sizes, times = zip(*known)
    try:
        with atomic.replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                model=np.array(model),
                names=np.array(names),
                sizes=np.array(sizes, np.int64),
                times=np.array(times, np.int64),
                features=np.stack(list(known.values())),
            )
    except OSError as error:
        raise MachineError(f"{path}: cannot be written: {error.strerror}") from None
