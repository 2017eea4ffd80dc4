"""Everything a training run needs, built and checked before the first step."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Iterator, Optional, Tuple

import paddle

from ppcls.config.schema import AUTO, Config
from ppcls.data import check_disjoint_shards
from ppcls.data.loader import DataLoader
from ppcls.engine import build, freezing, lr_schedule, run_header
from ppcls.engine.amp import MixedPrecision, full_precision
from ppcls.engine.checkpointing import checkpoint, resume
from ppcls.engine.checkpointing import run_dir as folders
from ppcls.engine.checkpointing.saver import DataTimer, Saver, SkippedImages
from ppcls.engine.distillation import Distillation, build_distillation, teacher_weights
from ppcls.engine.ema import EMA
from ppcls.engine.metrics_log import Clock, MetricsLog
from ppcls.engine.reduction import GradientReducer
from ppcls.engine.signals import SignalHandler
from ppcls.engine.state import Best, TrainState
from ppcls.errors import ConfigError, DataError
from ppcls.metric import build_metrics
from ppcls.optimizer import build_optimizer
from ppcls.optimizer.schedule import Schedule
from ppcls.registry import suggest
from ppcls.utils import atomic, distributed, logging
from ppcls.utils.paths import user_path


@dataclass
class Run:
    """A training run: its state, and what works on it."""

    config: Config
    state: TrainState
    train_loader: DataLoader
    eval_loader: Optional[DataLoader]
    lr_at: Callable[[int], float]
    criterion: Any
    distillation: Optional[Distillation]
    metrics: Any
    saver: Saver
    metrics_log: MetricsLog
    skipped: SkippedImages
    stop: SignalHandler
    reducer: GradientReducer = field(default_factory=GradientReducer)
    data_timer: DataTimer = field(default_factory=DataTimer)
    clock: Clock = field(default_factory=Clock)
    compared: bool = False  # whether the size of the images was looked at

    @property
    def epochs(self) -> int:
        """Return how many epochs the whole run has."""
        return self.config.Global.epochs or 0

    @property
    def batches(self) -> int:
        """Return how many batches an epoch has."""
        return len(self.train_loader)


@contextlib.contextmanager
def open_run(config: Config, stop: Optional[SignalHandler] = None) -> Iterator[Run]:
    """Build a run, and close what it opened.

    Args:
        stop: in use already; None for one of the run's own.

    Raises:
        ConfigError, DataError, WeightsError, CheckpointError, MachineError: something is wrong with what the recipe
            names; nothing was trained.
    """
    check_recipe(config)
    build.start(config)
    folder = user_path(config.Global.output_dir)
    with contextlib.ExitStack() as stack:
        prefix = distributed.run_on_main(lambda: _choose(config, folder, stack))
        with distributed.errors_on_all_ranks():
            train_loader, eval_loader, criterion, state = _build(config, stack)
            if distributed.is_main():
                folders.check_space(folder, state.model, averaged=state.ema is not None)
        distributed.require_equal_on_ranks(
            "numbers of images", [len(x.dataset) for x in (train_loader, eval_loader) if x]
        )
        distillation = build_distillation(config, criterion, state.class_names)
        state.teacher = distributed.run_on_main(lambda: resume.fingerprint(teacher_weights(config)))
        saver = stack.enter_context(Saver(folder, config))
        kept = None
        if prefix is not None:
            kept = _resume(config, state, saver, prefix)
        else:
            _start(config, state, folder)
        yield Run(
            config=config,
            state=state,
            train_loader=train_loader,
            eval_loader=eval_loader,
            lr_at=state.schedule.lr_at,
            criterion=distillation or criterion,
            distillation=distillation,
            metrics=build_metrics(config.Metric.Train or []),
            saver=saver,
            metrics_log=stack.enter_context(contextlib.closing(MetricsLog(folder, kept, config.Global.use_visualdl))),
            skipped=SkippedImages(folder),
            stop=stop or stack.enter_context(SignalHandler()),
        )


def _choose(config: Config, folder: Path, stack: contextlib.ExitStack) -> Optional[Path]:
    """Make the run's folder and claim it; return the prefix of the checkpoint to continue from, made whole."""
    folders.ensure_writable(folder)
    stack.enter_context(folders.lock_run_dir(folder))
    prefix = resume.choose(config, folder)
    if prefix is not None:
        atomic.finish_commit(prefix)
    return prefix


def _build(config: Config, stack: contextlib.ExitStack) -> Tuple[DataLoader, Optional[DataLoader], Any, TrainState]:
    train_loader = stack.enter_context(build.loader(config, "Train"))
    eval_loader = stack.enter_context(build.loader(config, "Eval")) if config.Global.eval_during_train else None
    _check_classes(train_loader, eval_loader)
    if eval_loader is not None:
        check_disjoint_shards(train_loader.dataset, eval_loader.dataset)
    criterion = build.loss(config, "Train", train_loader.dataset.labels)
    schedule = lr_schedule.schedule_of(config, -(-len(train_loader) // config.Global.update_freq))
    return train_loader, eval_loader, criterion, _initial_state(config, schedule, train_loader)


def dry_run(config: Config) -> None:
    """Build what a run needs and drop it: what is wrong with a later stage is said before the first one.

    Raises:
        ConfigError, DataError, MachineError: something is wrong with what the recipe names.
    """
    check_recipe(config)
    build.start(config)
    with contextlib.ExitStack() as stack:
        _build(config, stack)


def check_recipe(config: Config) -> None:
    """Refuse to train by a recipe that lacks what training needs.

    Raises:
        ConfigError: it does.
    """
    build.check_supported(config)
    if config.Global.epochs is None:
        raise ConfigError("Global.epochs: missing; training needs it")
    if config.Optimizer is None:
        raise ConfigError("Optimizer: missing; training needs it")
    build.split(config, "Train")
    if config.Global.eval_during_train and config.DataLoader.Eval is None:
        raise ConfigError("DataLoader.Eval: missing; give it, or turn evaluation off (Global.eval_during_train: false)")
    if config.Global.early_stopping is not None and not config.Global.eval_during_train:
        raise ConfigError(
            f"{config.where('Global', 'early_stopping')}: Global.early_stopping: nothing is evaluated with "
            f"Global.eval_during_train: false ({config.where('Global', 'eval_during_train')}); remove one"
        )
    build.metrics(config, "Train")
    _best(config)


def _check_classes(train_loader: DataLoader, eval_loader: Optional[DataLoader]) -> None:
    """Refuse to train on one numbering of the classes and to evaluate on another.

    Raises:
        DataError: the two data sets name their classes differently.
    """
    ours = train_loader.dataset.class_names
    theirs = eval_loader.dataset.class_names if eval_loader is not None else None
    if ours is None or theirs is None or ours == theirs:
        return
    differing = next((i for i, pair in enumerate(zip(ours, theirs)) if pair[0] != pair[1]), min(len(ours), len(theirs)))
    names = [repr(names[differing]) if differing < len(names) else "missing" for names in (ours, theirs)]
    raise DataError(
        f"DataLoader.Train and DataLoader.Eval number their classes differently: class {differing} is {names[0]} in "
        f"training ({len(ours)} classes) and {names[1]} in evaluation ({len(theirs)} classes)"
    )


def _initial_state(config: Config, schedule: Schedule, loader: DataLoader) -> TrainState:
    assert config.Optimizer is not None and config.DataLoader.Train is not None
    model = build.model(config)
    try:
        freezing.freeze(model, config.Global.freeze)
    except ConfigError as error:
        raise ConfigError(f"{config.where('Global', 'freeze')}: {error}") from None
    arguments = {"name": config.Optimizer.name, **config.Optimizer.arguments}
    optimizer = build_optimizer(arguments, model, learning_rate=schedule.lr_at(0))
    build.static(config, model)
    return TrainState(
        precision=MixedPrecision(config.AMP, model, optimizer),  # before EMA: it may change the model's precision
        ema=_ema(config, model, optimizer),
        model=model,
        optimizer=optimizer,
        schedule=schedule,
        best=_best(config),
        layout={
            "images": len(loader.dataset),
            "samples": loader.dataset.digest(),
            # With the batch of all processes: more or fewer of them cut the same batches into other parts.
            "sampler": {
                **config.DataLoader.Train.sampler.model_dump(),
                "batch_size": loader.sampler.batch_size * loader.sampler.num_replicas,
            },
            "update_freq": config.Global.update_freq,
            "seed": config.Global.seed,
        },
        class_names=build.training_class_names(config, loader.dataset),
    )


def _best(config: Config) -> Best:
    """Return what chooses the best model.

    Raises:
        ConfigError: the evaluation gives no such value.
    """
    metrics, losses = build.metrics(config, "Eval").names, [*build.loss(config, "Eval").names, "loss"]
    chosen = config.Global.best_metric or metrics[0]
    if chosen not in (*metrics, *losses):
        where = config.where("Global", "best_metric")
        raise ConfigError(f"{where}: Global.best_metric: no {chosen!r} is evaluated{suggest(chosen, metrics + losses)}")
    return Best(chosen, lower=chosen in losses)


def _ema(config: Config, model: paddle.nn.Layer, optimizer: paddle.optimizer.Optimizer) -> Optional[EMA]:
    if config.EMA is None:
        return None
    return EMA(model, config.EMA.decay, config.EMA.warmup, lambda: full_precision(model, optimizer))


def _start(config: Config, state: TrainState, folder: Path) -> None:
    """Bring the state to where a new run starts."""
    weights = build.fetch_weights(config)
    # Before anything is moved: they may lie in this folder, or not fit.
    with distributed.errors_on_all_ranks():
        loaded = build.load_initial_weights(config, state.model, weights) if weights is not None else ""
    state.start = distributed.run_on_main(lambda: resume.fingerprint(weights))
    if state.ema is not None:
        state.ema.restart()
    if config.Global.checkpoints != AUTO:  # with auto, what is there is of a run that had not saved anything yet
        distributed.run_on_main(lambda: folders.archive_previous_run(folder))
    run_header.log_run_header(config, state, folder)
    if loaded:
        logging.get_logger().info(loaded)


def _resume(config: Config, state: TrainState, saver: Saver, prefix: Path) -> Optional[int]:
    """Bring the state to where a checkpoint left off; return how much of ``metrics.jsonl`` to keep."""
    with distributed.errors_on_all_ranks():
        resume.require_same_frozen(config, prefix)
        saved = checkpoint.resume(state, prefix)
    same_folder = prefix.parent.resolve() == saver.folder.resolve()
    if not same_folder:
        distributed.run_on_main(lambda: folders.archive_previous_run(saver.folder))
    run_header.log_run_header(config, state, saver.folder)
    log = logging.get_logger()
    for change in resume.changes_since(saved, config):
        log.warning("%s was %r when this run was saved, and is %r now", *change)
    log.info("resuming from %s: epoch %d, batch %d, update %d", prefix, state.epoch + 1, state.batch, state.step)
    if same_folder:
        _leave_branch(state, saver, prefix)
    return int(saved["journal_bytes"]) if same_folder else None


def _leave_branch(state: TrainState, saver: Saver, prefix: Path) -> None:
    """Make the run's folder what it was at the position that is resumed; a collective."""
    distributed.run_on_main(lambda: resume.set_aside_later(saver.folder, prefix))
    if prefix.name == "latest" and state.epoch and not state.batch:
        saver.finish_epoch(state)
    if not distributed.run_on_main(lambda: resume.restore_best(saver.folder, prefix, state.best.epoch)):
        logging.get_logger().warning(
            "the best model so far, of epoch %d, is not there any more: the best is chosen anew", state.best.epoch
        )
        state.best = Best(state.best.metric, lower=state.best.lower)
