"""Running out of memory, in words that help."""

from __future__ import annotations

import contextlib
from typing import Callable, ContextManager, Iterator, List, Optional, Type

import paddle

from ppcls.config.schema import Config
from ppcls.errors import MachineError, PpclsError, TrainingError
from ppcls.utils.memory import is_out_of_memory, process_memory


def explain_training_memory(config: Config) -> ContextManager[None]:
    """Turn an allocation that failed in the block into an error that says what to change.

    Raises:
        TrainingError: memory ran out.
    """
    return _explain(TrainingError, lambda: _of_training(config))


def explain_evaluation_memory(config: Config) -> ContextManager[None]:
    """Do the same for an evaluation.

    Raises:
        MachineError: memory ran out.
    """
    return _explain(MachineError, lambda: _of_evaluation(config))


def explain_inference_memory(batch_size: int) -> ContextManager[None]:
    """Do the same for predictions.

    Args:
        batch_size: images that go through the model together.

    Raises:
        MachineError: memory ran out.
    """
    return _explain(MachineError, lambda: _of_inference(batch_size))


@contextlib.contextmanager
def _explain(kind: Type[PpclsError], message: Callable[[], str]) -> Iterator[None]:
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        if not is_out_of_memory(error):
            raise
        raise kind(message()) from error


def _of_training(config: Config) -> str:
    train = config.DataLoader.Train
    batch = train.sampler.batch_size if train is not None else 1
    key = f"DataLoader.Train.sampler.{train.sampler.batch_size_key if train is not None else 'batch_size'}"
    advice = []
    if batch > 1:
        smaller, frequency = (batch + 1) // 2, config.Global.update_freq * 2
        advice.append(
            f"halve the batch: -o {key}={smaller} Global.update_freq={frequency}, which "
            f"makes the same updates of {batch * config.Global.update_freq} images"
        )
    if not config.Arch.arguments.get("recompute"):
        advice.append("compute activations again instead of keeping them: -o Arch.recompute=true")
    return _text(batch, key, advice)


def _of_evaluation(config: Config) -> str:
    section = config.DataLoader.Eval
    batch = section.sampler.batch_size if section is not None else 1
    advice = [f"halve the batch: -o DataLoader.Eval.sampler.batch_size={(batch + 1) // 2}"] if batch > 1 else []
    return _text(batch, "DataLoader.Eval.sampler.batch_size", advice)


def _of_inference(batch: int) -> str:
    smaller = (batch + 1) // 2
    advice = [
        f"halve the batch: --batch-size {smaller}, -o Infer.batch_size={smaller} or, in Python, batch_size={smaller}"
    ]
    return _text(batch, "the batch size of inference", advice if batch > 1 else [])


def _text(batch: int, key: str, advice: List[str]) -> str:
    return f"memory ran out with batches of {batch} images ({key}): {'; or '.join([*advice, 'use smaller images'])}"


def used_memory() -> Optional[int]:
    """Return the bytes of memory that training takes: on a GPU the most so far, else what this process has now."""
    if str(paddle.get_device()).startswith("gpu"):
        return int(paddle.device.cuda.max_memory_allocated())
    return process_memory()
