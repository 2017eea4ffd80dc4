"""``ppcls train --profile``: where the time of some training steps goes, as a page in the run's folder."""

from __future__ import annotations

import contextlib
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Callable, List, Optional, Tuple

from paddle import profiler

from ppcls.engine.callbacks.base import Callback
from ppcls.engine.operator_events import named_operators
from ppcls.engine.trace import CALLBACK, read_trace
from ppcls.errors import ConfigError
from ppcls.report.profile_page import Profile, render_profile
from ppcls.utils import atomic, distributed
from ppcls.utils.logging import get_logger

if TYPE_CHECKING:
    from ppcls.engine.run import Run

FILE = "profile.html"
_EXAMPLE = "10:20"


def parse_steps(text: str) -> Tuple[int, int]:
    """Return the first step, counted from 0, and the one before which the profile ends, of "10:20".

    Raises:
        ConfigError: the text is something else.
    """
    first, colon, end = text.partition(":")
    if not colon or not first.isdecimal() or not end.isdecimal() or int(first) >= int(end):
        raise ConfigError(f"--profile {text}: must be FIRST:END, such as {_EXAMPLE}, with FIRST lower than END")
    return int(first), int(end)


class StepProfile(Callback):
    """Profiles a range of steps of the first process, and writes a page about them; training goes on.

    Before and after these steps nothing is recorded.

    Args:
        steps: the first step, counted from 0, and the one before which the profile ends.
    """

    def __init__(self, steps: Tuple[int, int]) -> None:
        self._first, self._end = steps
        self._steps = 0
        self._recording: Optional[contextlib.ExitStack] = None
        self._profiler: Optional[profiler.Profiler] = None
        self._times: List[Tuple[float, float]] = []  # seconds of each step, and of them waiting for its data
        self._step_began = 0.0
        self._done = False

    def on_train_begin(self, run: Run) -> None:
        """Begin with the first step, if it is to be profiled."""
        if self._first == 0:
            self._begin(run)

    def on_step(self, run: Run) -> None:
        """Count a step; begin and end the profile."""
        if self._done or not distributed.is_main():
            return
        self._steps += 1
        if self._profiler is None:
            if self._steps == self._first:
                self._begin(run)
            return
        now = time.perf_counter()
        self._times.append((now - self._step_began, run.throughput.data_seconds))
        self._step_began = now
        self._profiler.step()
        if self._steps == self._end:
            self._finish(run)

    def on_train_end(self, run: Run) -> None:
        """Write the page about fewer steps, or say that there was none."""
        if self._done or not distributed.is_main():
            return
        get_logger().warning(
            "--profile %d:%d: the run had %d steps: the profile is incomplete", self._first, self._end, self._steps
        )
        if self._times:
            self._finish(run)

    def close(self) -> None:
        """Stop recording in a run that ends before the last step of the range."""
        if self._recording is not None:
            self._recording.close()
            self._recording = None
        stopped, self._profiler = self._profiler, None
        if stopped is not None:
            stopped.stop()

    def _recorded_callback(self, name: str, function: Callable[[Run], None]) -> Callable[[Run], None]:
        """Return ``on_step`` of a callback, recorded; not of this one, which ends the event of a step."""
        if getattr(function, "__self__", None) is self:
            return function

        def call(run: Run) -> None:
            with profiler.RecordEvent(CALLBACK + name):
                function(run)

        return call

    def _begin(self, run: Run) -> None:
        if self._done or not distributed.is_main():
            return
        self._recording = contextlib.ExitStack()
        self._recording.enter_context(named_operators())
        self._recording.callback(run.callbacks.wrap_steps(self._recorded_callback))
        self._profiler = profiler.Profiler()
        self._profiler.start()
        self._step_began = time.perf_counter()

    def _finish(self, run: Run) -> None:
        """Write the page."""
        stopped = self._profiler
        self.close()
        assert stopped is not None
        self._done = True
        with tempfile.TemporaryDirectory() as folder:
            trace = Path(folder) / "trace.json"
            stopped.export(str(trace), format="json")
            times = read_trace(trace)
        batch_size = run.train_loader.sampler.batch_size
        profile = Profile(run.config.Arch.name, batch_size, self._first, self._times, times)
        path = run.run_dir / FILE
        atomic.write_text(path, render_profile(profile))
        get_logger().info("wrote the profile of steps %d to %d: %s", self._first, self._first + len(self._times), path)
