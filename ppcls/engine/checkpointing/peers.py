"""The models that are trained beside the recipe's own, in a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

import numpy as np

from ppcls.engine.amp import full_precision
from ppcls.engine.state import TrainState
from ppcls.errors import CheckpointError
from ppcls.utils.paths import add_suffix
from ppcls.weights import load_weights, restricted_load

# Of a file in which the name of each tensor begins with the name of its model, as in ``Teacher.head.weight``.
PEERS = "_peers.pdparams"


def peer_weights(state: TrainState) -> Dict[str, np.ndarray]:
    """Return the arrays of the file, {} where the model is trained alone."""
    return {
        f"{name}.{key}": tensor.numpy()
        for name, model in state.peers.items()
        for key, tensor in full_precision(model, state.optimizer).items()
    }


def load_peers(state: TrainState, prefix: Path) -> None:
    """Set the weights of the models that are trained beside the recipe's own.

    Raises:
        CheckpointError: the checkpoint at ``prefix`` has none.
        WeightsError: they do not fit.
    """
    path = add_suffix(prefix, PEERS)
    arrays = restricted_load(path) if state.peers and path.is_file() else {}
    for name, model in state.peers.items():
        start = f"{name}."
        weights = {key[len(start) :]: array for key, array in arrays.items() if key.startswith(start)}
        if not weights:
            raise CheckpointError(f"{prefix}: has no weights of {name}, which is trained, too, by this recipe")
        load_weights(model, weights, adapt=False)
