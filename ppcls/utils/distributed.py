"""The one place that knows ranks: this process among those that ``paddle.distributed.launch`` started.

Every function that says so is a collective: all processes call it, in the same order. With one process all of them
return at once, so callers need no cases.

Processes stay in step, batch by batch: a wait of gloo (the CPU's collectives) ends with an error after 30 s. While one
process does something longer alone, the others call short collectives (``wait_until``, ``run_on_main``). An error of
one process becomes an error of all (``errors_on_all_ranks``), so that nobody waits for a process that is gone.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import threading
import time
from typing import Any, Callable, Iterable, Iterator, List, Optional, Sequence, TypeVar

from ppcls.errors import DataError, MachineError, PpclsError

T = TypeVar("T")
_POLL_SECONDS = 0.1
# The launcher looks every second or two for a process that has ended, names the first that it finds, and ends the
# others. A process that only notices the death of another one waits this long, so that the launcher names the right
# one. A process that failed gives this time to the first process, which may be about to fail likewise, and whose exit
# code becomes the job's.
_EXIT_GRACE_SECONDS = 5.0
_BUCKET_BYTES = 32 << 20  # reduced in one call: few calls, and little memory beside the gradients
_ready: List[bool] = []


def rank() -> int:
    """Return this process's number, 0 when there is only one."""
    return int(os.environ.get("PADDLE_TRAINER_ID", "0"))


def world_size() -> int:
    """Return how many processes train together."""
    return int(os.environ.get("PADDLE_TRAINERS_NUM", "1"))


def local_size() -> int:
    """Return how many of them run on this machine."""
    return max(1, int(os.environ.get("PADDLE_LOCAL_SIZE") or world_size()))


def local_rank() -> int:
    """Return this process's number on this machine, from 0."""
    return int(os.environ.get("PADDLE_RANK_IN_NODE") or 0)


def is_main() -> bool:
    """Return whether this process writes files and logs."""
    return rank() == 0


def init(device: str) -> None:
    """Connect the processes, once; a collective.

    Args:
        device: the device that Paddle uses, such as "cpu" or "gpu:1"; it decides between gloo and nccl.

    Raises:
        MachineError: they cannot be connected.
    """
    if world_size() == 1 or _ready:
        return
    import paddle

    if device == "cpu":
        os.environ.setdefault("PADDLE_DISTRI_BACKEND", "gloo")  # builds for GPUs would take nccl
    with _errors_with_rank():
        paddle.distributed.init_parallel_env()
    _ready.append(True)


def finalize(failed: bool) -> None:
    """Make the launcher report this process's exit code; called right before the process ends.

    The launcher would otherwise end it by SIGTERM as soon as another one has ended, and report -15.
    """
    if world_size() == 1:
        return
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if failed and not is_main():
        time.sleep(_EXIT_GRACE_SECONDS)


def all_reduce_array(values: Any) -> Any:
    """Return the sum of an array over all processes; a collective. Sums of integers are exact."""
    return values if world_size() == 1 else _all_reduce(values, "SUM")


def sync_errors(error: Optional[BaseException], *flags: int) -> List[int]:
    """Return the highest of each flag over all processes; a collective.

    Args:
        error: the error of this process, None if there is none.

    Raises:
        PpclsError: a process has an error. All processes raise it, as the same type, marked (``is_on_all_ranks``).
    """
    if world_size() == 1:
        if error is not None:
            raise error
        return list(flags)
    failed, *highest = (int(value) for value in _all_reduce([int(error is not None), *flags], "MAX"))
    if not failed:
        return highest
    errors = all_gather(None if error is None else (type(error), f"{error}"))
    first = next(number for number, failure in enumerate(errors) if failure is not None)
    kind, text = errors[first]
    if type(error) is not kind:  # what is done about an error depends on its type, and must be the same everywhere
        kind = kind if issubclass(kind, PpclsError) else MachineError
        text = f"process {first} failed: {text}" if error is None else f"{error}"
        raise mark_on_all_ranks(kind(text))
    raise mark_on_all_ranks(error)  # type: ignore[arg-type]


def mark_on_all_ranks(error: BaseException) -> Any:
    """Return ``error``, marked as one that all processes raise at the same point."""
    error.on_all_ranks = True  # type: ignore[attr-defined]
    return error


def is_on_all_ranks(error: Optional[BaseException]) -> bool:
    """Return whether every process has an error now, so that collectives still work."""
    return world_size() == 1 or getattr(error, "on_all_ranks", False)


@contextlib.contextmanager
def errors_on_all_ranks() -> Iterator[None]:
    """Raise an error of one process, from a block without collectives, in all processes; a collective.

    Errors that a user can cause are shared; others stay with their process.
    """
    error: Optional[BaseException] = None
    try:
        yield
    except (PpclsError, OSError) as caught:
        error = caught
    sync_errors(error)


def synchronized(items: Iterable[T]) -> Iterator[T]:
    """Iterate in step: each item is a collective. All processes have equally many items."""
    if world_size() == 1:
        yield from items
        return
    iterator = iter(items)
    while True:
        with errors_on_all_ranks():
            item = next(iterator, None)
        if item is None:
            return
        yield item
        del item  # large, and not needed while the next one is made


def split_by_rank(items: Sequence[T], size: int) -> List[Sequence[T]]:
    """Return this process's contiguous part of ``items``, in batches.

    All processes have equally many batches; the last ones may be empty.
    """
    count = world_size()
    first, last = (len(items) * number // count for number in (rank(), rank() + 1))
    batches = math.ceil(math.ceil(len(items) / count) / size)
    return [items[first + size * number : min(last, first + size * (number + 1))] for number in range(batches)]


def all_gather(value: Any) -> List[Any]:
    """Return the (small) values of all processes, by rank; a collective."""
    if world_size() == 1:
        return [value]
    import paddle

    values: List[Any] = []
    with _errors_with_rank():
        paddle.distributed.all_gather_object(values, value)
    return values


def require_equal_on_ranks(what: str, value: Any) -> None:
    """Check that a value is the same in all processes; a collective.

    Raises:
        DataError: it is not.
    """
    values = all_gather(value)
    if any(other != value for other in values):
        listed = ", ".join(f"process {number}: {other}" for number, other in enumerate(values))
        raise mark_on_all_ranks(
            DataError(f"the processes see different {what} ({listed}): do all machines have the same files?")
        )


def wait_until(done: Callable[[], bool]) -> None:
    """Return when ``done`` is true in every process, however long that takes; a collective.

    With one process it returns at once: the caller waits anyway when it takes the result.
    """
    while world_size() > 1 and sync_errors(None, int(not done()))[0]:
        time.sleep(_POLL_SECONDS)


def run_on_main(function: Callable[[], T]) -> T:
    """Call a function in the first process only, however long it takes, and return its value everywhere; a collective.

    The function runs in a thread while the processes poll, so it must not use Paddle's tensors; its value is small.

    Raises:
        PpclsError: the function raised it, see ``sync_errors``.
    """
    if world_size() == 1:
        return function()
    done: List[Any] = []
    errors: List[BaseException] = []

    def work() -> None:
        try:
            done.append(function())
        except BaseException as error:  # noqa: BLE001  raised in the main thread
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    if is_main():
        thread.start()
    wait_until(lambda: not thread.is_alive())
    sync_errors(errors[0] if errors else None)
    return all_gather(done[0] if done else None)[0]


def data_parallel(layer: Any) -> Any:
    """Return a callable for ``layer`` whose backward passes average the gradients over the processes; a collective.

    Each process calls it with its own images, and all of them equally often.
    """
    import paddle

    with _errors_with_rank():
        return paddle.DataParallel(layer)


def all_reduce_tensors(tensors: Sequence[Any]) -> None:
    """Replace each tensor by its sum over all processes, in place and in few calls; a collective."""
    if world_size() == 1:
        return
    for bucket in _buckets(tensors):
        _all_reduce_bucket(bucket)


def _buckets(tensors: Sequence[Any]) -> Iterator[List[Any]]:
    """Yield lists of consecutive tensors of one type, of a bounded size."""
    bucket: List[Any] = []
    size = 0
    for tensor in tensors:
        weight = int(tensor.size) * tensor.element_size()
        if bucket and (tensor.dtype != bucket[0].dtype or size + weight > _BUCKET_BYTES):
            yield bucket
            bucket, size = [], 0
        bucket.append(tensor)
        size += weight
    if bucket:
        yield bucket


def _all_reduce_bucket(bucket: List[Any]) -> None:
    import paddle

    with paddle.no_grad():
        flat = paddle.concat([tensor.reshape([-1]) for tensor in bucket])
        with _errors_with_rank():
            paddle.distributed.all_reduce(flat)
        for tensor, part in zip(bucket, paddle.split(flat, [int(tensor.size) for tensor in bucket])):
            paddle.assign(part.reshape(tensor.shape), tensor)


def _all_reduce(values: Any, operation: str) -> Any:
    import paddle

    with _errors_with_rank():
        tensor = paddle.to_tensor(values)
        paddle.distributed.all_reduce(tensor, op=getattr(paddle.distributed.ReduceOp, operation))
        return tensor.numpy()


@contextlib.contextmanager
def _errors_with_rank() -> Iterator[None]:
    """Translate the error of a failed collective to MachineError."""
    try:
        yield
    except (RuntimeError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        time.sleep(_EXIT_GRACE_SECONDS)
        raise MachineError(
            f"process {rank()} of {world_size()} lost the others ({reason}): one of them died, hangs or failed; what "
            f"it said is in its log (workerlog.N of the launcher's --log_dir)"
        ) from None
