"""Predictions from an exported model."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Union

import numpy as np

from ppcls.data.transforms import build_transforms
from ppcls.deploy import description, inputs, pipeline
from ppcls.deploy.backends import open_backend
from ppcls.deploy.postprocess import Topk


class Predictor:
    """Runs what ``tools/export_model.py`` wrote, with the preprocessing that was exported with it.

    Args:
        folder: the exported model: its folder, or an ONNX file.
        batch_size: images that go through the model together.
        threads: CPU threads for the model; None takes those chosen at start-up (OMP_NUM_THREADS).
        topk: classes in an answer; None takes what was exported.

    Raises:
        DataError: the folder holds no export, or a damaged one.
    """

    def __init__(
        self, folder: Union[str, Path], batch_size: int = 32, threads: Optional[int] = None, topk: Optional[int] = None
    ) -> None:
        self.description = description.read(Path(folder).expanduser())
        self.batch_size = batch_size
        self._transforms = build_transforms(self.description.transform_ops)
        self._backend = open_backend(self.description, threads=threads)
        self._postprocess = Topk(topk or self.description.topk, self.description.class_names)

    def predict(self, images: Union[inputs.Image, Sequence[inputs.Image]]) -> List[Dict[str, Any]]:
        """Classify images.

        Args:
            images: a path, a folder, encoded bytes, an RGB array [H, W, 3] uint8, or a list of these.

        Returns:
            One dict an image, in order: class_ids, scores, file_name, label_names; file_name and error for an image
            that cannot be read.

        Raises:
            DataError: a path does not exist.
        """
        return list(self.stream(inputs.collect(images)))

    def stream(self, sources: Sequence[inputs.Source]) -> Iterator[Dict[str, Any]]:
        """Yield the answers for sources one by one, as their batches are done."""
        return pipeline.predict(sources, self._transforms, self.run, self._postprocess, self.batch_size)

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Return probabilities [B, K] of preprocessed images, float32 [B, C, H, W] unless the export says otherwise."""
        return self._backend.run(batch)
