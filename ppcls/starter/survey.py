"""What is known of a data set and of the machine before a recipe is chosen."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Union

import numpy as np

from ppcls.arch import list_models, spec
from ppcls.data.build import build_dataset
from ppcls.data.datasets import Dataset
from ppcls.data.folder_layout import Layout
from ppcls.data.inspection.scanning import Finding, scan_images
from ppcls.errors import DataError
from ppcls.utils import environment, gpus
from ppcls.weights.published import cached_weights

# More images than this are not all read before training: a sample of this size tells sizes and mirror images.
READ_AT_MOST = 50_000
_SAMPLE = 2_000
_NEIGHBOURS_AT_MOST = 2_000  # images that the mirror test compares with each other
_SIGNIFICANT = 2.0  # standard errors by which mirror images must be worse


@dataclass(frozen=True)
class MirrorTest:
    """Whether an image and its mirror image look alike to the most simple classifier, the nearest neighbour.

    Attributes:
        as_is: share of images whose nearest other thumbnail is of the same class.
        mirrored: the same of their mirror images.
        images: how many were tried.
    """

    as_is: float
    mirrored: float
    images: int

    @property
    def is_symmetric(self) -> bool:
        """Whether mirror images are recognized as well, within two standard errors of the difference."""
        spread = np.sqrt((self.as_is * (1 - self.as_is) + self.mirrored * (1 - self.mirrored)) / max(1, self.images))
        return bool(self.as_is - self.mirrored <= _SIGNIFICANT * spread)


@dataclass(frozen=True)
class Survey:
    """What is known of a data set and of the machine.

    Attributes:
        layout: of the folder.
        dataset: the training part, or all images where there is no validation part.
        findings: one for each image of ``dataset``, or for a sample of it.
        sample: the index of each finding's image; None where all images were read.
        val_broken: indices of validation images that cannot be read, of those that were read.
        short_side: median of the images' shorter sides, in pixels.
        mirror: the test of mirror images.
        device: "gpu" or "cpu".
        cores: CPU cores that may be used.
        cached: files of public weights that are in the cache, by architecture.
    """

    layout: Layout
    dataset: Dataset
    findings: List[Finding]
    sample: Optional[np.ndarray]
    val_broken: List[int]
    short_side: int
    mirror: MirrorTest
    device: str
    cores: int
    cached: Dict[str, Path]

    @property
    def images(self) -> int:
        """How many images there are to train with, before a validation part is taken from them."""
        return len(self.dataset)

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return self.layout.num_classes

    @property
    def broken(self) -> List[int]:
        """The indices of images that cannot be read, of those that were read."""
        indices: Sequence[int] = range(len(self.dataset)) if self.sample is None else self.sample.tolist()
        return [index for index, finding in zip(indices, self.findings) if finding.error is not None]


def survey(layout: Layout, device: str = "auto", workers: Optional[int] = None) -> Survey:
    """Read the images of a layout, or a sample of many, and look at the machine.

    Args:
        device: as ``Global.device``.
        workers: number of processes that read; by default one per core.

    Raises:
        DataError: no image can be read, images have several classes each, or classes have too few images.
    """
    if layout.is_multilabel:
        raise DataError(
            f"{layout.path}: images with several classes each; `ppcls train FOLDER` chooses for one class per image. "
            f"Write a recipe: docs/metrics.md, Multi-label classification"
        )
    dataset = build_dataset(layout.train, train=True)
    if layout.shortage is not None:
        raise DataError(layout.shortage)
    sample = _sample(len(dataset))
    findings = scan_images(dataset if sample is None else _Part(dataset, sample), workers, "reading images")
    readable = [finding for finding in findings if finding.error is None]
    if not readable:
        raise DataError(
            f"{layout.path}: none of {len(findings):,} images can be read, such as {dataset.describe(0)}: "
            f"{findings[0].error}"
        )
    labels = dataset.labels if sample is None else dataset.labels[sample]
    return Survey(
        layout=layout,
        dataset=dataset,
        findings=findings,
        sample=sample,
        val_broken=_broken_of_validation(layout, workers),
        short_side=round(statistics.median(min(finding.size) for finding in readable)),
        mirror=_test_mirror_images(findings, labels),
        device=_device(device),
        cores=environment.cores(),
        cached=cached_public_weights(),
    )


class _Part(Dataset):
    """Some samples of a data set, to be read."""

    def __init__(self, dataset: Dataset, indices: np.ndarray) -> None:
        super().__init__(dataset.labels[indices], dataset.class_names, dataset.on_error)
        self._dataset, self._indices = dataset, indices

    def read(self, index: int) -> Union[bytes, np.ndarray]:
        """Return a sample's encoded file or pixels."""
        return self._dataset.read(int(self._indices[index]))

    def describe(self, index: int) -> str:
        """Return where a sample is."""
        return self._dataset.describe(int(self._indices[index]))


def _sample(count: int) -> Optional[np.ndarray]:
    """Return which images to read, None for all; the same ones each time."""
    if count <= READ_AT_MOST:
        return None
    return np.sort(np.random.default_rng(0).choice(count, _SAMPLE, replace=False))


def _broken_of_validation(layout: Layout, workers: Optional[int]) -> List[int]:
    """Return which validation images cannot be read: they would end the training at its first evaluation."""
    if layout.val is None:
        return []
    dataset = build_dataset(layout.val, train=False)
    if len(dataset) > READ_AT_MOST:
        return []
    findings = scan_images(dataset, workers, "reading validation images")
    broken = [index for index, finding in enumerate(findings) if finding.error is not None]
    if len(broken) == len(findings):
        raise DataError(
            f"{layout.path}: none of {len(findings):,} validation images can be read, such as {dataset.describe(0)}: "
            f"{findings[0].error}"
        )
    return broken


def _test_mirror_images(findings: Sequence[Finding], labels: np.ndarray) -> MirrorTest:
    """Compare thumbnails, and their mirror images, with those of all other images."""
    usable = [index for index, finding in enumerate(findings) if finding.fingerprint is not None]
    if len(usable) > _NEIGHBOURS_AT_MOST:
        usable = np.sort(np.random.default_rng(0).choice(usable, _NEIGHBOURS_AT_MOST, replace=False)).tolist()
    thumbnails = np.stack([findings[index].fingerprint.thumbnail for index in usable])  # type: ignore[union-attr]
    classes = labels[usable]
    known = _vectors(thumbnails)
    shares = []
    for queries in (known, _vectors(thumbnails[:, :, ::-1])):
        likeness = queries @ known.T
        np.fill_diagonal(likeness, -np.inf)  # an image is not its own neighbour
        shares.append(float((classes[likeness.argmax(1)] == classes).mean()))
    return MirrorTest(shares[0], shares[1], len(usable))


def _vectors(thumbnails: np.ndarray) -> np.ndarray:
    """Return thumbnails [N, 16, 16, 3] as vectors [N, 768] of length 1 without their mean brightness."""
    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    flat = flat - flat.mean(1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)


def _device(name: str) -> str:
    """Return "cpu" or "gpu"; other accelerators count as the latter."""
    if name == "auto":
        return "cpu" if gpus.problem() else "gpu"
    return "cpu" if name == "cpu" else "gpu"


def cached_public_weights() -> Dict[str, Path]:
    """Return the files of public weights that are in the cache, by architecture; nothing is downloaded."""
    found = {name: cached_weights(spec(name)) for name in list_models() if spec(name).url is not None}
    return {name: path for name, path in found.items() if path is not None}
