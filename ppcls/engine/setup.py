"""From a recipe to a run that can train: everything is built and checked before the first step."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Iterator, List, Optional, Tuple

import paddle

from ppcls.arch import BACKBONES, ops
from ppcls.config.schema import AUTO, Config
from ppcls.data import check_disjoint_shards
from ppcls.data.datasets import Classes
from ppcls.data.datasets.classes import known_names
from ppcls.data.loader import DataLoader
from ppcls.engine import checks, class_count, cpu_threads, device, freezing
from ppcls.engine import distillation as distillations
from ppcls.engine.amp import MixedPrecision, full_precision
from ppcls.engine.answers import build_postprocess
from ppcls.engine.averages import EpochAverages
from ppcls.engine.callbacks import CALLBACKS
from ppcls.engine.callbacks.console import ConsoleLog
from ppcls.engine.callbacks.data_checks import ImageSizeCheck, SkippedImages
from ppcls.engine.callbacks.early_stopping import EarlyStopping
from ppcls.engine.callbacks.metrics_file import MetricsFile
from ppcls.engine.callbacks.runner import CallbackRunner
from ppcls.engine.callbacks.trackers import Tracker, VisualDL
from ppcls.engine.checkpointing import checkpoint, file_set, finished, resume, run_dir
from ppcls.engine.checkpointing.saver import Saver
from ppcls.engine.criteria import build_loss, build_metrics, log_reduced_topk
from ppcls.engine.data import build_loader, open_dataset
from ppcls.engine.ema import EMA
from ppcls.engine.initial_weights import load_initial_weights
from ppcls.engine.label_names import match_classes, training_class_names
from ppcls.engine.lr_schedule import build_lr_schedule, log_changed_epochs
from ppcls.engine.model import build_model, compile_static, fetch_weights, require_weights_of_options
from ppcls.engine.model_group import ModelGroup
from ppcls.engine.reduction import GradientReducer
from ppcls.engine.run import Run
from ppcls.engine.run_header import log_run_header
from ppcls.engine.signals import SignalHandler
from ppcls.engine.state import Best, TrainState
from ppcls.engine.supplied import Supplied, require_logits
from ppcls.engine.transfer import is_asynchronous
from ppcls.engine.trial import try_first_images
from ppcls.errors import ConfigError
from ppcls.optimizer import build_optimizer
from ppcls.optimizer.schedule import Schedule
from ppcls.registry.provenance import require_imported
from ppcls.utils import distributed
from ppcls.utils.folders import ensure_writable
from ppcls.utils.logging import get_logger
from ppcls.utils.paths import user_path


@contextlib.contextmanager
def open_run(
    config: Config, signals: Optional[SignalHandler] = None, supplied: Optional[Supplied] = None
) -> Iterator[Run]:
    """Build a run, and close what it opened.

    Args:
        signals: in use already; None for a handler of the run's own.
        supplied: what Python code gives in place of what the recipe names.

    Raises:
        ConfigError, DataError, WeightsError, CheckpointError, MachineError: something is wrong with what the recipe
            names; nothing was trained.
    """
    supplied = supplied or Supplied()
    checks.require_trainable(config)
    require_weights_of_options(config)
    device.setup_device(config)
    with distributed.errors_on_all_ranks():
        config, supplied = _with_class_count(config, supplied)
    folder = user_path(config.run_dir)
    with contextlib.ExitStack() as stack:
        prefix = distributed.run_on_main(lambda: _lock_and_select_checkpoint(config, folder, stack))
        with distributed.errors_on_all_ranks():
            train_loader, eval_loader, criterion, state = _build(config, supplied, stack)
            checks.warn_of_unused_classes(config, train_loader.dataset)
            log_reduced_topk(config)
            if distributed.is_main():
                if eval_loader is not None:
                    checks.warn_of_shared_files(train_loader.dataset, eval_loader.dataset)
                run_dir.check_space(folder, state.trained, averaged=state.ema is not None)
        loaders = [loader for loader in (train_loader, eval_loader) if loader is not None]
        distributed.require_equal_on_ranks("numbers of images", [len(loader.dataset) for loader in loaders])
        distillation = distillations.build_distillation(
            config, criterion, state.peers, Classes(state.class_names, state.classes.labels)
        )
        state.teacher_weights = distributed.run_on_main(lambda: resume.teacher_fingerprints(config))
        saver = stack.enter_context(Saver(folder, config))
        with distributed.errors_on_all_ranks():  # before an earlier run is moved
            callbacks = stack.enter_context(contextlib.closing(CallbackRunner(_callbacks(config, supplied))))
            try_first_images(config, state, train_loader, eval_loader, distillation)
        stack.callback(ops.reset_threads)
        stack.callback(ops.release_memory)
        threads = cpu_threads.choose(config, state, train_loader, prefix, ours=supplied.model is None)
        state.cpu_threads = threads.count
        is_finished = distributed.run_on_main(lambda: finished.is_finished(config, folder, prefix))
        if prefix is not None:
            _resume(config, state, saver, callbacks, prefix, threads, is_finished)
        else:
            _init_new_run(config, state, folder, threads)
        for note in supplied.notes:
            get_logger().info(note)
        yield Run(
            config=config,
            state=state,
            run_dir=folder,
            train_loader=train_loader,
            eval_loader=eval_loader,
            criterion=distillation or criterion,
            distillation=distillation,
            averages=EpochAverages(config, (distillation or criterion).names),
            reducer=_build_reducer(config, supplied, state),
            eval_criterion=build_loss(config, "Eval", eval_loader.dataset if eval_loader is not None else None),
            eval_metrics=build_metrics(config, "Eval"),
            callbacks=callbacks,
            saver=saver,
            signals=signals or stack.enter_context(SignalHandler()),
            is_finished=is_finished,
        )


def _build_reducer(config: Config, supplied: Supplied, state: TrainState) -> GradientReducer:
    is_ours = supplied.model is None and BACKBONES[config.Arch.name].source is None
    all_used = is_ours and state.group is None
    # ``ppcls.engine.reduction`` says why.
    overlap = all_used and is_asynchronous() and not getattr(state.model, "recompute", False)
    return GradientReducer(state.model, state.trained, all_used, overlap)


def dry_run(config: Config, supplied: Optional[Supplied] = None) -> None:
    """Build what a run needs and drop it: what is wrong with a later stage is said before the first one.

    Raises:
        ConfigError, DataError, MachineError: something is wrong with what the recipe names.
    """
    checks.require_trainable(config)
    device.setup_device(config)
    with contextlib.ExitStack() as stack:
        # A copy: what this stage freezes or converts, an earlier one may train.
        config, supplied = _with_class_count(config, (supplied or Supplied()).with_model_copy())
        train_loader, eval_loader, _, state = _build(config, supplied, stack)
        if config.Distillation is None:  # a teacher may be the model of an earlier stage
            try_first_images(config, state, train_loader, eval_loader)


def _with_class_count(config: Config, supplied: Supplied) -> Tuple[Config, Supplied]:
    """Return the recipe with the class count of its data, and its data where they were opened for that."""
    resolved, dataset = class_count.for_training(config, supplied.train_dataset)
    if dataset is None:
        return config, supplied
    checks.require_trainable(resolved)
    return resolved, replace(supplied, opened_dataset=dataset)


def _lock_and_select_checkpoint(config: Config, folder: Path, stack: contextlib.ExitStack) -> Optional[Path]:
    """Make and lock the run's folder; return the prefix of the checkpoint to continue from, made whole."""
    ensure_writable(folder, f"Global.output_dir={folder}", "choose another with -o Global.output_dir=...")
    stack.enter_context(run_dir.lock_run_dir(folder))
    prefix = resume.select_checkpoint(config, folder)
    if prefix is not None:
        file_set.finish_commit(prefix)
    return prefix


def _build(
    config: Config, supplied: Supplied, stack: contextlib.ExitStack
) -> Tuple[DataLoader, Optional[DataLoader], Any, TrainState]:
    dataset = supplied.opened_dataset or open_dataset(config, "Train", supplied.train_dataset)
    checks.require_class_count(config, dataset)
    train_loader = stack.enter_context(build_loader(config, "Train", dataset))
    eval_loader = None
    if config.Global.eval_during_train:
        align = partial(match_classes, config, Classes.of(dataset), "DataLoader.Train")
        eval_dataset = open_dataset(config, "Eval", supplied.eval_dataset)
        eval_loader = stack.enter_context(build_loader(config, "Eval", eval_dataset, align))
        check_disjoint_shards(train_loader.dataset, eval_loader.dataset)
    checks.require_fixed_images(config, train_loader)
    criterion = build_loss(config, "Train", train_loader.dataset, train_loader.views)
    schedule = build_lr_schedule(config, -(-len(train_loader) // config.Global.update_freq))
    state = _initial_state(config, supplied.model, schedule, train_loader)
    build_postprocess(config, state.class_names)  # what cannot answer is not trained
    return train_loader, eval_loader, criterion, state


def _initial_state(
    config: Config, model: Optional[paddle.nn.Layer], schedule: Schedule, loader: DataLoader
) -> TrainState:
    assert config.Optimizer is not None and config.DataLoader.Train is not None
    if model is None:
        model = build_model(config)
        is_foreign = BACKBONES[config.Arch.name].source is not None
    else:
        is_foreign = True
    if is_foreign:  # ours are tested
        require_logits(model, config)
    try:
        freezing.freeze(model, config.Global.freeze)
    except ConfigError as error:
        raise ConfigError(f"{config.where('Global', 'freeze')}: {error}") from None
    arguments = {"name": config.Optimizer.name, **config.Optimizer.arguments}
    peers = distillations.build_trained_models(config)
    group = ModelGroup(config.student, model, peers) if peers else None
    trained = model if group is None else group
    optimizer = build_optimizer(arguments, trained, learning_rate=schedule.lr_at(0))
    for layer in (model, *peers.values()):
        compile_static(config, layer)
    names = training_class_names(config, loader.dataset)
    return TrainState(
        # Before EMA: it may change the model's precision.
        amp=MixedPrecision(config.AMP, trained, optimizer, config.Global.to_static),
        ema=_build_ema(config, model, optimizer),
        model=model,
        group=group,
        optimizer=optimizer,
        schedule=schedule,
        best=checks.best_by(config),
        batch_layout={
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
        class_names=names,
        classes=Classes(names if known_names(loader.dataset) is not None else None, loader.dataset.list_labels),
    )


def _build_ema(config: Config, model: paddle.nn.Layer, optimizer: paddle.optimizer.Optimizer) -> Optional[EMA]:
    if config.EMA is None:
        return None
    return EMA(model, config.EMA.decay, config.EMA.warmup, lambda: full_precision(model, optimizer))


def _callbacks(config: Config, supplied: Supplied) -> List[Any]:
    """Return the callbacks of a run: built-in ones, those of the recipe, then those that Python code gives."""
    named = [CALLBACKS.build(name, arguments) for item in config.Callbacks or [] for name, arguments in item.items()]
    builtin: List[Any] = [ImageSizeCheck(), ConsoleLog(), MetricsFile(), SkippedImages()]
    if config.Global.use_visualdl and not any(isinstance(callback, VisualDL) for callback in named):
        builtin.append(VisualDL())
    if config.Global.early_stopping is not None:
        builtin.append(EarlyStopping(config.Global.early_stopping))
    callbacks = [*builtin, *named, *supplied.callbacks]
    for callback in callbacks:
        if isinstance(callback, Tracker):
            callback.require_package()
    return callbacks


def _init_new_run(config: Config, state: TrainState, folder: Path, threads: cpu_threads.Threads) -> None:
    """Bring the state to where a new run starts."""
    weights = fetch_weights(config)
    # Before anything is moved: they may lie in this folder, or not fit.
    with distributed.errors_on_all_ranks():
        classes = Classes(state.class_names, state.classes.labels)
        loaded = [load_initial_weights(config, state.model, weights, classes)] if weights is not None else []
    loaded += distillations.load_initial_weights(config, state.peers, classes)
    state.init_weights = distributed.run_on_main(lambda: resume.fingerprint(weights))
    if state.ema is not None:
        state.ema.restart()
    if config.Global.checkpoints != AUTO:  # with auto, what is there is of a run that had not saved anything yet
        distributed.run_on_main(lambda: run_dir.archive_previous_run(folder))
    log_run_header(config, state, folder, threads)
    for text in loaded:
        get_logger().info(text)


def _resume(
    config: Config,
    state: TrainState,
    saver: Saver,
    callbacks: CallbackRunner,
    prefix: Path,
    threads: cpu_threads.Threads,
    is_finished: bool,
) -> None:
    """Bring the state and the callbacks to where a checkpoint left off."""
    with distributed.errors_on_all_ranks():
        resume.require_same_frozen(config, prefix)
        resume.require_same_weight_options(config, prefix)
        resume.require_same_classes(state.classes, prefix)
        saved = checkpoint.resume(state, prefix)
    same_folder = prefix.parent.resolve() == saver.folder.resolve()
    if not same_folder:
        distributed.run_on_main(lambda: run_dir.archive_previous_run(saver.folder))
    log_run_header(config, state, saver.folder, threads, keep_recipe=not is_finished)
    log = get_logger()
    cpu_threads.warn_if_changed(saved, threads)
    for change in resume.changes_since(saved, config):
        if change[0] != "Global.imported":
            log.warning("%s was %r when this run was saved, and is %r now", *change)
    require_imported(saved["config"]["Global"].get("imported", []), str(prefix))
    log.info("resuming from %s: epoch %d, batch %d, update %d", prefix, state.epoch + 1, state.batch, state.step)
    log_changed_epochs(config, saved["config"]["Global"].get("epochs"), state.schedule, state.step)
    with distributed.errors_on_all_ranks():
        callbacks.load_state_dict(checkpoint.callback_states(saved))
    if same_folder and not is_finished:
        distributed.run_on_main(lambda: finished.forget(saver.folder))
        _rewind_run_dir(state, saver, prefix)


def _rewind_run_dir(state: TrainState, saver: Saver, prefix: Path) -> None:
    """Make the run's folder what it was at the position that is resumed; a collective."""
    distributed.run_on_main(lambda: resume.archive_later_checkpoints(saver.folder, prefix))
    if prefix.name == "latest" and state.epoch and not state.batch:
        saver.finish_epoch(state)
    if not distributed.run_on_main(lambda: resume.restore_best(saver.folder, prefix, state.best.epoch)):
        get_logger().warning(
            "the best model so far, of epoch %d, is not there any more: the best is chosen anew", state.best.epoch
        )
        state.best = Best(state.best.metric, lower=state.best.lower)
