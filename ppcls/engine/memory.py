"""Running out of memory, in words that help."""

from __future__ import annotations

import contextlib
from typing import Iterator

from ppcls.config.schema import Config
from ppcls.errors import TrainingError

# What Paddle says when an allocation fails, on a GPU and on a CPU.
_SIGNS = ("ResourceExhausted", "Out of memory", "out of memory", "bad_alloc", "Fail to alloc memory")


@contextlib.contextmanager
def explain_out_of_memory(config: Config) -> Iterator[None]:
    """Turn an allocation that failed in the block into an error that says what to change.

    Raises:
        TrainingError: memory ran out.
    """
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        if not isinstance(error, MemoryError) and not any(sign in str(error) for sign in _SIGNS):
            raise
        raise TrainingError(_message(config)) from error


def _message(config: Config) -> str:
    train = config.DataLoader.Train
    batch = int(train.sampler.arguments["batch_size"]) if train is not None else 1
    advice = []
    if batch > 1:
        smaller, frequency = (batch + 1) // 2, config.Global.update_freq * 2
        advice.append(
            f"halve the batch: -o DataLoader.Train.sampler.batch_size={smaller} Global.update_freq={frequency}, which "
            f"makes the same updates of {batch * config.Global.update_freq} images"
        )
    if not config.Arch.arguments.get("recompute"):
        advice.append("compute activations again instead of keeping them: -o Arch.recompute=true")
    advice.append("use smaller images")
    return (
        f"memory ran out with batches of {batch} images (DataLoader.Train.sampler.batch_size): {'; or '.join(advice)}"
    )
