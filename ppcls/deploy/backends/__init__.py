"""Runtimes that exported models run in."""

from __future__ import annotations

from typing import Optional, Protocol

import numpy as np

from ppcls.deploy.description import Description


class Backend(Protocol):
    """A model ready to run. Not to be used by several threads at the same time."""

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Return probabilities [B, K] of a batch [B, C, H, W] float32."""


def open_backend(description: Description, threads: Optional[int]) -> Backend:
    """Open an exported model in a runtime that can run it.

    Args:
        threads: CPU threads for the model; None takes those chosen at start-up (OMP_NUM_THREADS).

    Raises:
        DataError: a file of the export is missing or damaged.
    """
    from ppcls.deploy.backends.paddle import PaddleBackend

    return PaddleBackend(description, threads)
