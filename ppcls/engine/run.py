"""Everything a training run needs, built and checked before the first step."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Iterator, Optional

import paddle

from ppcls.config.schema import Config
from ppcls.config.show import to_yaml
from ppcls.data.loader import DataLoader
from ppcls.engine import build, checkpoint, commit
from ppcls.engine.interrupt import StopRequest
from ppcls.engine.journal import Clock, Journal
from ppcls.engine.saver import Saver, SkippedImages, Waiting
from ppcls.engine.state import Best, TrainState
from ppcls.errors import ConfigError, MachineError
from ppcls.loss import build_loss
from ppcls.metric import build_metrics
from ppcls.optimizer import build_optimizer, build_schedule
from ppcls.utils import distributed, environment, logging


@dataclass
class Run:
    """A training run: its state, and what works on it."""

    config: Config
    state: TrainState
    train_loader: DataLoader
    eval_loader: Optional[DataLoader]
    lr_at: Callable[[int], float]
    criterion: Any
    metrics: Any
    saver: Saver
    journal: Journal
    skipped: SkippedImages
    stop: StopRequest
    waiting: Waiting = field(default_factory=Waiting)
    clock: Clock = field(default_factory=Clock)

    @property
    def epochs(self) -> int:
        """Return how many epochs the whole run has."""
        return self.config.Global.epochs or 0

    @property
    def batches(self) -> int:
        """Return how many batches an epoch has."""
        return len(self.train_loader)


@contextlib.contextmanager
def open_run(config: Config) -> Iterator[Run]:
    """Build a run, and close what it opened.

    Raises:
        ConfigError, DataError, WeightsError, CheckpointError, MachineError: something is wrong with what the recipe
            names; nothing was trained.
    """
    _check_recipe(config)
    build.set_device(config.Global.device)
    folder = Path(config.Global.output_dir).expanduser()
    prepare_folder(folder)
    with contextlib.ExitStack() as stack:
        train_loader = stack.enter_context(build.loader(config, "Train"))
        eval_loader = stack.enter_context(build.loader(config, "Eval")) if config.Global.eval_during_train else None
        updates = -(-len(train_loader) // config.Global.update_freq)
        assert config.Optimizer is not None and config.Global.epochs is not None
        lr = {"name": config.Optimizer.lr.name, **config.Optimizer.lr.arguments}
        schedule = build_schedule(lr, epochs=config.Global.epochs, steps_per_epoch=updates)
        state = _initial_state(config, schedule.lr_at(0), train_loader)
        _check_space(folder, state.model)
        kept = _start(config, state, folder)
        yield Run(
            config=config,
            state=state,
            train_loader=train_loader,
            eval_loader=eval_loader,
            lr_at=schedule.lr_at,
            criterion=build_loss(config.Loss.Train),
            metrics=build_metrics(config.Metric.Train or []),
            saver=Saver(folder, config),
            journal=stack.enter_context(contextlib.closing(Journal(folder, kept, config.Global.use_visualdl))),
            skipped=SkippedImages(folder),
            stop=stack.enter_context(StopRequest()),
        )


def _check_recipe(config: Config) -> None:
    build.check_supported(config)
    if config.Global.epochs is None:
        raise ConfigError("Global.epochs: missing; training needs it")
    if config.Optimizer is None:
        raise ConfigError("Optimizer: missing; training needs it")
    build.split(config, "Train")
    if config.Global.eval_during_train and config.DataLoader.Eval is None:
        raise ConfigError("DataLoader.Eval: missing; give it, or turn evaluation off (Global.eval_during_train: false)")
    for mode in ("Train", "Eval"):
        build.metrics(config, mode)


def prepare_folder(folder: Path) -> None:
    """Make the output folder and prove that files can be written there.

    Raises:
        MachineError: they cannot.
    """
    probe = folder / ".writable"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        raise MachineError(
            f"Global.output_dir={folder}: cannot be written to: {error.strerror}; choose another with "
            f"-o Global.output_dir=..."
        ) from None


def _check_space(folder: Path, model: paddle.nn.Layer) -> None:
    """Refuse to start where even two checkpoints (weights and at most two moments each) do not fit."""
    weights = sum(int(p.size) * p.element_size() for p in model.state_dict().values())
    needed, free = 2 * 3 * weights, shutil.disk_usage(folder).free
    if free < needed:
        raise MachineError(
            f"Global.output_dir={folder}: {free / 1e6:.0f} MB free, a run needs {needed / 1e6:.0f} MB; make room, or "
            f"choose another with -o Global.output_dir=..."
        )


def _initial_state(config: Config, learning_rate: float, loader: DataLoader) -> TrainState:
    assert config.Optimizer is not None
    model = build.model(config)
    arguments = {"name": config.Optimizer.name, **config.Optimizer.arguments}
    optimizer = build_optimizer(arguments, model, learning_rate=learning_rate)
    names = build.training_class_names(config, loader.dataset)
    return TrainState(
        model=model, optimizer=optimizer, best=Best(build.metrics(config, "Eval").names[0]), class_names=names
    )


def _start(config: Config, state: TrainState, folder: Path) -> Optional[int]:
    """Bring the state to where the run starts; return how much of ``metrics.jsonl`` to keep."""
    spoken = str(distributed.rank()) in config.Global.log_ranks.replace(" ", "").split(",")
    logging.setup(folder / "train.log", console=spoken)
    log = logging.get_logger()
    log.info("%s; device: %s; paddle %s", environment.describe(), paddle.get_device(), paddle.__version__)
    commit.write_text(folder / "config.yaml", to_yaml(config))
    trainable = sum(int(p.size) for p in state.model.parameters() if not p.stop_gradient)
    log.info("%s: %s trainable parameters, %d classes", config.Arch.name, f"{trainable:,}", config.Arch.class_num)
    if config.Global.checkpoints:
        prefix = checkpoint.strip_suffix(config.Global.checkpoints)
        saved = checkpoint.resume(state, prefix)
        _log_differences(saved["config"], config.plain())
        log.info("resuming from %s: epoch %d, batch %d, update %d", prefix, state.epoch + 1, state.batch, state.step)
        same_folder = prefix.parent.resolve() == folder.resolve()
        return int(saved["journal_bytes"]) if same_folder else None
    path = build.weights_path(config)
    if path is not None:
        build.load_initial_weights(config, state.model, path)
    return None


def _log_differences(before: Any, now: Any, path: str = "") -> None:
    """Warn of each setting that is not what the resumed run was started with."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            _log_differences(before.get(key), now.get(key), f"{path}.{key}".lstrip("."))
    elif before != now and path not in ("Global.checkpoints", "Global.output_dir"):
        logging.get_logger().warning("%s was %r when this run was saved, and is %r now", path, before, now)
