"""The batches of training, made and copied to the device before they are needed."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, fields
from typing import Any, Callable, Deque, Iterable, Iterator, Optional, Union

from ppcls.data.loader import Batch
from ppcls.engine.transfer import Uploader, is_asynchronous
from ppcls.errors import PpclsError
from ppcls.utils import distributed


@dataclass(frozen=True)
class DeviceBatch(Batch):
    """A batch of which images, labels and targets are on the device, too.

    Attributes:
        image_tensor: the images.
        label_tensor: the labels, [B] or [B, K].
        target_tensor: what the losses compare with: the soft targets where there are any, else the labels.
    """

    image_tensor: Any = None
    label_tensor: Any = None
    target_tensor: Any = None


def place(batch: Batch, uploader: Optional[Uploader] = None) -> DeviceBatch:
    """Return a batch with copies on the device."""
    arrays = [batch.images, batch.labels, *([] if batch.targets is None else [batch.targets])]
    images, labels, *targets = (uploader or Uploader()).upload(*arrays)
    values = {field.name: getattr(batch, field.name) for field in fields(Batch)}
    return DeviceBatch(**values, image_tensor=images, label_tensor=labels, target_tensor=(targets or [labels])[0])


class Prefetcher:
    """Iterates over batches, some of which are fetched ahead.

    On a GPU one is ahead, so that it is copied while the device still computes. With several processes one more is: a
    process whose next batch cannot be made says so with a step that all take (``GradientReducer.exchange``), before the
    others would wait for it.

    Args:
        batches: of this process; each process has equally many.
        must_agree: whether a process may lack the next batch; the same in all processes.
    """

    def __init__(self, batches: Iterable[Batch], must_agree: Callable[[], bool]) -> None:
        self._batches: Optional[Iterator[Batch]] = iter(batches)
        self._must_agree = must_agree
        self._uploader = Uploader()
        self._ahead = int(is_asynchronous()) + int(distributed.world_size() > 1)
        self._queue: Deque[Union[DeviceBatch, BaseException]] = deque()

    @property
    def failed(self) -> bool:
        """Whether a batch that was fetched ahead could not be made; its turn comes within ``exchange``'s delay."""
        return any(isinstance(item, BaseException) for item in self._queue)

    def __iter__(self) -> Iterator[DeviceBatch]:
        """Yield the batches; raise the error of one, of any process, in all of them when its turn comes."""
        number = 0
        while True:
            self._fill()
            # Nobody could tell of the first ones before.
            if number < self._ahead or self._must_agree():
                with distributed.errors_on_all_ranks():
                    self._raise_first()
            self._raise_first()
            if not self._queue:
                return
            yield self._queue.popleft()  # type: ignore[misc]
            number += 1

    def _fill(self) -> None:
        while self._batches is not None and len(self._queue) <= self._ahead:
            try:
                batch = next(self._batches, None)
                if batch is not None:
                    self._queue.append(place(batch, self._uploader))
                    del batch  # large
                    continue
            except (PpclsError, OSError) as error:  # what ``errors_on_all_ranks`` shares
                self._queue.append(error)
            self._batches = None

    def _raise_first(self) -> None:
        if self._queue and isinstance(self._queue[0], BaseException):
            raise self._queue[0]
