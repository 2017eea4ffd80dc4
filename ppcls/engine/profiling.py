"""``ppcls train --profiler_options``: a profile of some batches by ``paddle.profiler``."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, Optional, Tuple

from paddle import profiler

from ppcls.engine.callbacks.base import Callback
from ppcls.engine.operator_events import named_operators
from ppcls.errors import ConfigError
from ppcls.registry import suggest
from ppcls.utils.folders import ensure_writable
from ppcls.utils.logging import get_logger
from ppcls.utils.paths import user_path

if TYPE_CHECKING:
    from ppcls.engine.run import Run

FOLDER = "profiler_log"
_TARGETS = {
    "CPU": [profiler.ProfilerTarget.CPU],
    "GPU": [profiler.ProfilerTarget.GPU],
    "All": None,  # all that Paddle was built for
}
_SORTED_KEYS = {
    "total": profiler.SortedKeys.CPUTotal,
    "ave": profiler.SortedKeys.CPUAvg,
    "max": profiler.SortedKeys.CPUMax,
    "min": profiler.SortedKeys.CPUMin,
}
_TRACER_OPTIONS = ("Default", "OpDetail", "AllOpDetail")
_BOOLEANS = {**dict.fromkeys(("true", "t", "yes", "1"), True), **dict.fromkeys(("false", "f", "no", "0"), False)}


class ProfilingDoneError(BaseException):
    """The batches are profiled, and training was asked to end then. No callback or error handler may stop it."""


@dataclass(frozen=True)
class ProfilerOptions:
    """What is profiled, and where the result goes; the names are PaddleClas's (ppcls/utils/profiler.py there).

    Attributes:
        batch_range: the first batch, counted from 0, and the one before which the profile ends.
        state: the processors: "CPU", "GPU" or "All".
        sorted_key: order of the table of operators: "total", "ave", "max" or "min" time.
        tracer_option: "Default" for a table of operators, "OpDetail" or "AllOpDetail" for their inner parts as well.
        profile_path: folder of the trace; None for ``profiler_log`` in the folder of the run.
        exit_on_finished: whether training ends with the profile; nothing is saved then.
        timer_only: measure only how long batches take; no table and no trace.
    """

    batch_range: Tuple[int, int] = (10, 20)
    state: str = "All"
    sorted_key: str = "total"
    tracer_option: str = "Default"
    profile_path: Optional[str] = None
    exit_on_finished: bool = True
    timer_only: bool = False

    @classmethod
    def parse(cls, text: str) -> ProfilerOptions:
        """Return the options of "batch_range=[10, 20]; profile_path=profile".

        Raises:
            ConfigError: an option is unknown, given twice or has a bad value.
        """
        values: Dict[str, Any] = {}
        for part in filter(None, (part.strip() for part in text.split(";"))):
            key, equals, value = (word.strip() for word in part.partition("="))
            if not equals or not value:
                raise _error(part, 'write key=value, separated by ";"')
            if key not in cls.__dataclass_fields__:
                raise _error(part, f"unknown option {key!r}{suggest(key, cls.__dataclass_fields__)}")
            if key in values:
                raise _error(part, f"{key} is given twice")
            values[key] = _parse_value(key, value, part)
        if not values:
            raise ConfigError("--profiler_options: no options given, such as batch_range=[10, 20]")
        return cls(**values)


def _parse_value(key: str, value: str, part: str) -> Any:
    if key == "batch_range":
        return _parse_range(value, part)
    if key in ("exit_on_finished", "timer_only"):
        if value.lower() not in _BOOLEANS:
            raise _error(part, "must be true or false")
        return _BOOLEANS[value.lower()]
    choices = {"state": tuple(_TARGETS), "sorted_key": tuple(_SORTED_KEYS), "tracer_option": _TRACER_OPTIONS}
    known = choices.get(key)
    if known is not None and value not in known:
        reason = "; Paddle's profiler does not sort by the number of calls" if value == "calls" else ""
        raise _error(part, f"must be one of {', '.join(known)}{reason}")
    return value


def _parse_range(value: str, part: str) -> Tuple[int, int]:
    numbers = value.strip("[]").split(",")
    if len(numbers) != 2 or not all(number.strip().isdecimal() for number in numbers):
        raise _error(part, "must be two whole numbers, such as [10, 20]")
    first, end = map(int, numbers)
    if first >= end:
        raise _error(part, "the first number must be lower than the second")
    return first, end


def _error(part: str, what: str) -> ConfigError:
    return ConfigError(f"--profiler_options: {part}: {what}")


class BatchProfiler(Callback):
    """Profiles a range of batches: a table in the log and, per process, a trace for chrome://tracing or Perfetto.

    Args:
        options: what to profile.

    Raises:
        ProfilingDoneError: the profile is complete, and the options say that training ends then.
    """

    def __init__(self, options: ProfilerOptions) -> None:
        self._options = options
        self._profiler: Optional[profiler.Profiler] = None
        self._names = contextlib.ExitStack()
        self._batches = 0
        self._folder = ""

    def on_train_begin(self, run: Run) -> None:
        """Start the profiler, unless an earlier stage has been profiled."""
        if self._batches:
            return
        options = self._options
        folder = run.run_dir / FOLDER if options.profile_path is None else user_path(options.profile_path)
        if not options.timer_only:
            ensure_writable(folder, f"--profiler_options: profile_path={folder}", "choose another profile_path")
        self._folder = str(folder)
        self._profiler = profiler.Profiler(
            targets=_TARGETS[options.state],
            scheduler=options.batch_range,
            on_trace_ready=None if options.timer_only else profiler.export_chrome_tracing(self._folder),
            timer_only=options.timer_only,
        )
        self._names.enter_context(named_operators())
        self._profiler.start()

    def on_step(self, run: Run) -> None:
        """Count a batch; after the last one of the range, write the trace and log the table."""
        if self._profiler is None:
            return
        self._batches += 1
        self._profiler.step(num_samples=run.train_loader.sampler.batch_size)
        first, end = self._options.batch_range
        if self._options.timer_only and self._batches == first:
            self._profiler.step_info()  # the next call tells of the batches after this one
        if self._batches < end:
            return
        if self._options.timer_only:
            get_logger().info(
                "profile of batches %d to %d: %s", first, end, self._profiler.step_info("samples").strip()
            )
        self._finish()
        if self._options.exit_on_finished:
            get_logger().info("training ends after the profile; add exit_on_finished=false to go on")
            raise ProfilingDoneError

    def on_train_end(self, run: Run) -> None:
        """Say that there were too few batches."""
        if self._profiler is not None:
            get_logger().warning(
                "--profiler_options: batch_range=%s: the run had %d batches: the profile is incomplete",
                *(list(self._options.batch_range), self._batches),
            )

    def close(self) -> None:
        """Stop the profiler of a run that ends before the last batch of the range."""
        self._names.close()
        if self._profiler is not None:
            self._profiler.stop()
            self._profiler = None

    def _finish(self) -> None:
        assert self._profiler is not None
        self._profiler.stop()
        self._names.close()
        if not self._options.timer_only:
            details = self._options.tracer_option != "Default"
            with contextlib.redirect_stdout(io.StringIO()) as table:  # results alone go to standard output
                self._profiler.summary(
                    sorted_by=_SORTED_KEYS[self._options.sorted_key], op_detail=details, thread_sep=False
                )
            get_logger().info("profile of batches %d to %d:\n%s", *self._options.batch_range, table.getvalue().strip())
            get_logger().info("wrote the trace of the profile to %s", self._folder)
        self._profiler = None
