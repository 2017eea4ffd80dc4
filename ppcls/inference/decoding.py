"""Preprocess images in threads while the model runs."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import deque
from typing import Any, Callable, Deque, Iterable, Iterator, List, Optional, Tuple

from ppcls.errors import DataError
from ppcls.inference.source import Source

_STOP_SECONDS = 1.0  # how long to wait for a thread that waits for a server
Prepare = Callable[[Source, Callable[[], bool]], Any]


class _Task:
    """One image and its result; ``done`` is set when ``result`` or ``error`` is."""

    __slots__ = ("done", "error", "result", "source")

    def __init__(self, source: Source) -> None:
        self.source = source
        self.result: Any = None
        self.error: Optional[Exception] = None
        self.done = threading.Event()

    def run(self, prepare: Prepare, stopped: Callable[[], bool]) -> None:
        try:
            self.result = prepare(self.source, stopped)
        except DataError as error:
            self.result = error
        except Exception as error:  # noqa: BLE001 - raised again in the thread that asked
            self.error = error
        self.done.set()

    def answer(self) -> Tuple[str, Any]:
        self.done.wait()
        if self.error is not None:
            raise RuntimeError(f"{self.source.name}: preprocessing failed") from self.error
        return self.source.name, self.result


def preprocess_ahead(
    sources: Iterable[Source], prepare: Prepare, workers: int, ahead: int
) -> Iterator[Tuple[str, Any]]:
    """Yield the name and the result of each source, in order; a DataError of ``prepare`` is yielded as the result.

    OpenCV releases the GIL while it decodes and resizes, and so do ONNX Runtime, OpenVINO and Paddle's operators.
    Paddle Inference does not: beside it a thread gets no further than its present operation.

    Args:
        prepare: takes a source, and a function that returns True when the result is no longer needed.
        workers: threads; 0 does the work in the caller's thread.
        ahead: how many images are read ahead, and so held in memory.

    Raises:
        RuntimeError: ``prepare`` raised another exception, which is the cause; the message names the source.
    """
    if not workers:
        for source in sources:
            task = _Task(source)
            task.run(prepare, lambda: False)
            yield task.answer()
        return
    pending: Deque[_Task] = deque()
    with _threads(workers, prepare) as submit:
        for source in sources:
            pending.append(submit(source))
            if len(pending) >= ahead:
                yield pending.popleft().answer()
        while pending:
            yield pending.popleft().answer()


@contextlib.contextmanager
def _threads(count: int, prepare: Prepare) -> Iterator[Callable[[Source], _Task]]:
    """Run threads; tasks that have not begun when the block ends are dropped."""
    tasks: queue.SimpleQueue[Optional[_Task]] = queue.SimpleQueue()
    stop = threading.Event()

    def work() -> None:
        while (task := tasks.get()) is not None and not stop.is_set():
            task.run(prepare, stop.is_set)

    def submit(source: Source) -> _Task:
        task = _Task(source)
        tasks.put(task)
        return task

    # Daemons: a server that does not answer must not keep the process from ending.
    threads: List[threading.Thread] = [
        threading.Thread(target=work, name=f"ppcls-decode-{number}", daemon=True) for number in range(count)
    ]
    for thread in threads:
        thread.start()
    try:
        yield submit
    finally:
        stop.set()
        for _ in threads:
            tasks.put(None)
        for thread in threads:
            thread.join(_STOP_SECONDS)
