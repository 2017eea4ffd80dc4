"""The report of a run while it trains, and when training is done."""

from __future__ import annotations

import logging
import platform
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Mapping, Optional

import numpy as np
import paddle

import ppcls
from ppcls.arch import SUPPLIED_MODEL
from ppcls.config.schema import Config
from ppcls.engine.callbacks.base import Callback
from ppcls.engine.memory import used_memory
from ppcls.engine.model import build_model
from ppcls.engine.predictions import PredictionRecorder, Predictions
from ppcls.engine.supplied import copy_model
from ppcls.errors import PpclsError
from ppcls.report import build
from ppcls.report.collect import class_names
from ppcls.report.explain import explain
from ppcls.report.records import SpeedFile, load_predictions, read_records, save_predictions
from ppcls.report.run_data import RunData
from ppcls.report.sections.mistakes import shown_rows
from ppcls.report.seen_batch import SeenBatch
from ppcls.report.thumbnails import Thumbnails
from ppcls.utils import distributed, environment
from ppcls.utils.logging import get_logger
from ppcls.utils.paths import user_path
from ppcls.weights import load_weights

if TYPE_CHECKING:
    from ppcls.engine.run import Run

_SECONDS_BETWEEN = 20.0  # refreshes
_SHARE = 0.01  # of the time: a refresh that took long is followed by a longer pause
_SECONDS_FOR_PHOTOS = 0.3  # of a refresh; when training is done all are read
_SECONDS_WHEN_STOPPED = 5.0  # a page whose last refresh took longer stays as it is when the run is stopped


class ReportCallback(Callback):
    """Writes ``report.html`` at the first evaluation, refreshes it while training, and completes it at the end.

    A refresh follows the one before after 20 seconds at the earliest, and after a hundred times as long as that one
    took; there is one more when the run is stopped, or ends with an error. The first process writes; what fails is
    logged once, and training goes on.

    Args:
        stages: the folders of the recipe's stages by name, in order; nothing for a recipe without stages.
        root: the folder of a run with stages, where its report goes.
    """

    def __init__(self, stages: Optional[Mapping[str, Path]] = None, root: Optional[Path] = None) -> None:
        self._stages = dict(stages or {})
        self._root = root
        self._warned = False
        self._forget()

    @classmethod
    def of(cls, config: Config) -> ReportCallback:
        """Return the callback for a recipe."""
        folders = {name: user_path(recipe.run_dir) for name, recipe in config.stages.items()}
        return cls(folders, user_path(config.Global.output_dir) if folders else None)

    def _forget(self) -> None:
        """Begin a training: a stage, or the whole."""
        self._active = False
        self._best: Dict[str, Predictions] = {}
        self._thumbnails = Thumbnails()
        self._seen: Optional[SeenBatch] = None
        self._trained = False  # whether there was a step; not where a run that is done is started again
        self._speed: Optional[SpeedFile] = None
        self._epoch_began: Optional[float] = None
        self._images = 0
        self._next_refresh = self._refresh_took = 0.0
        self._open_run: Optional[Run] = None  # the run until it is done

    def on_train_begin(self, run: Run) -> None:
        """Ask for the answers of evaluations; continue what a resumed run has."""
        self._forget()
        if not run.config.Global.report:
            return
        self._active, self._open_run = True, run
        if run.eval_loader is not None:
            run.recorder = PredictionRecorder(len(run.eval_loader.dataset))
        if distributed.is_main():
            self._guarded(lambda: self._continue(run))

    def _continue(self, run: Run) -> None:
        epoch, predictions = load_predictions(run.run_dir)
        if epoch and epoch == run.state.best.epoch:
            self._best = predictions
        self._speed = SpeedFile(run.run_dir, run.state.epoch, _machine(run))

    def on_step(self, run: Run) -> None:
        """Count images; keep some of a batch as the model sees them."""
        self._trained = True
        if not self._active or not distributed.is_main():
            return
        if self._seen is None:
            self._seen = SeenBatch(run.config)
        if not self._seen.is_complete:
            self._guarded(lambda: self._see(run))
        if self._epoch_began is not None:
            self._images += run.batch_size(run.state.batch - 1, run.state.batch)
            return
        # The first batch waits for what others have ready: it is not counted.
        self._epoch_began, self._images = time.perf_counter(), 0

    def _see(self, run: Run) -> None:
        assert self._seen is not None and run.batch is not None
        names = class_names(run.config, run.state.class_names, run.state.classes, run.train_loader.dataset)
        if self._seen.look(run.batch, names):
            self._thumbnails = Thumbnails()  # may have those of an earlier batch

    def on_epoch(self, run: Run) -> None:
        """Note speed and memory of the epoch; without evaluation, refresh the page."""
        if not self._active or not distributed.is_main():
            return
        seconds = None if self._epoch_began is None else time.perf_counter() - self._epoch_began
        self._epoch_began = None
        self._guarded(lambda: self._note_speed(run, seconds))
        if run.eval_loader is None:
            self._refresh(run)

    def _note_speed(self, run: Run, seconds: Optional[float]) -> None:
        speed = self._images / seconds if seconds and self._images else None
        record = {"epoch": run.epoch_number, "images_per_second": speed, "memory_bytes": used_memory()}
        if self._speed is not None:
            self._speed.add(record)

    def on_eval(self, run: Run) -> None:
        """Keep the answers of the best weights; refresh the page."""
        if not self._active or not distributed.is_main():
            return
        if run.state.best.epoch == run.epoch_number and run.predictions:
            self._best = dict(run.predictions)
            self._thumbnails = Thumbnails()  # rows are those of these answers
            self._guarded(lambda: save_predictions(run.run_dir, run.epoch_number, self._best))
        self._refresh(run)

    def _refresh(self, run: Run) -> None:
        began = time.monotonic()
        if began < self._next_refresh:
            return

        self._guarded(lambda: self._write(self._data(run, run.epoch_number, finished=False)))
        self._refresh_took = took = time.monotonic() - began
        self._next_refresh = began + took + max(_SECONDS_BETWEEN, took / _SHARE)

    def _write(self, data: RunData) -> None:
        build.write(data, data.folder / build.PAGE, complete=False, seconds=_SECONDS_FOR_PHOTOS)

    def on_train_end(self, run: Run) -> None:
        """Write everything: with heat maps, the map of the embeddings and the sheet of the data; a collective."""
        self._open_run = None
        if not self._active:
            return
        is_last = not self._stages or self._stage(run) == list(self._stages)[-1]
        data: List[RunData] = []
        work: Iterator[None] = iter(())
        if distributed.is_main():
            self._guarded(lambda: data.append(self._data(run, run.state.epoch, finished=is_last)))
            if data and not self._trained:
                self._guarded(lambda: build.show_batch(data[0], run.train_loader))
            if data and is_last and run.eval_loader is not None:
                rows = shown_rows(data[0])
                work = explain(data[0], run.eval_loader, lambda: _best_model(run), rows)
        # One batch at a time: the others wait for this process at every one of them, not longer than they may.
        while distributed.sync_errors(None, int(next(work, self) is not self))[0]:
            pass
        distributed.run_on_main(lambda: self._guarded(lambda: self._finish(data, is_last)))

    def close(self) -> None:
        """Bring the page up to date if the run was stopped, or has failed, after its first epoch.

        A second Ctrl-C is no PpclsError: who is in a hurry does not wait for a page.
        """
        run, self._open_run = self._open_run, None
        if run is None or not self._trained or not run.state.epoch or not distributed.is_main():
            return
        if isinstance(sys.exc_info()[1], PpclsError) and self._refresh_took < _SECONDS_WHEN_STOPPED:
            self._guarded(lambda: self._write(self._data(run, run.state.epoch, finished=False, stopped=True)))

    def _finish(self, data: List[RunData], complete: bool) -> None:
        if data:
            build.write(data[0], data[0].folder / build.PAGE, complete)

    def _guarded(self, function: Callable[[], Any]) -> None:
        """Call a function; what it raises is logged once, and training goes on."""
        try:
            function()
        except Exception as error:  # noqa: BLE001  a report is not worth a training
            level = logging.DEBUG if self._warned else logging.WARNING
            get_logger().log(level, "%s: %s: %s; training goes on", build.PAGE, type(error).__name__, error)
            self._warned = True

    def _stage(self, run: Run) -> str:
        folder = run.run_dir.resolve()
        return next((name for name, path in self._stages.items() if path.resolve() == folder), "")

    def _data(self, run: Run, epochs: int, finished: bool, stopped: bool = False) -> RunData:
        stage = self._stage(run)
        names = list(self._stages)
        earlier = names[: names.index(stage)] if stage else []
        records = [read_records(self._stages[name], name) for name in earlier if self._stages[name].is_dir()]
        records.append(read_records(run.run_dir, stage))
        evaluation = run.eval_loader.dataset if run.eval_loader is not None else None
        train = run.train_loader.dataset
        problems = [line for one in records for line in one.problems]
        if run.state.best.epoch and not self._best and run.eval_loader is not None:
            problems.append(
                "the answers of the best weights are missing in the run's folder; ppcls report evaluates them"
            )
        return RunData(
            folder=self._root if self._root is not None and stage else run.run_dir,
            config=run.config,
            recipe=(run.run_dir / "config.yaml").read_text(encoding="utf-8"),
            stages=records,
            stage_folder=run.run_dir,
            best=run.state.best,
            epochs=epochs,
            class_names=class_names(run.config, run.state.class_names, run.state.classes, evaluation or train),
            predictions=self._best,
            train=train,
            evaluation=evaluation,
            problems=problems,
            thumbnails=self._thumbnails,
            seen=self._seen,
            versions={
                "ppcls": ppcls.__version__,
                "paddle": paddle.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
            finished=finished,
            stopped=stopped,
        )


def _machine(run: Run) -> Dict[str, Any]:
    """Return where this process trains."""
    return {
        "device": str(paddle.get_device()),
        "processor": environment.processor_name(),
        "cores": environment.cores(),
        "cpu_threads": run.state.cpu_threads,
        "processes": distributed.world_size(),
        "system": platform.platform(),
    }


def _best_model(run: Run) -> Any:
    """Return a model with the best weights; that of the run has the last ones, and stays as it is."""
    model = copy_model(run.state.model) if run.config.Arch.name == SUPPLIED_MODEL else build_model(run.config)
    load_weights(model, f"{run.saver.prefix('best_model')}.pdparams")
    return model
