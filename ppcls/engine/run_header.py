"""The beginning of a run's log: where it runs, by which recipe, what is trained and how."""

from __future__ import annotations

from pathlib import Path

import paddle

from ppcls.arch import ops
from ppcls.config.schema import Config, DistillationSection
from ppcls.config.show import to_yaml
from ppcls.engine import device, freezing
from ppcls.engine.cpu_threads import Threads
from ppcls.engine.state import TrainState
from ppcls.optimizer.decay import decay_settings
from ppcls.utils import atomic, distributed, environment, logging


def log_run_header(config: Config, state: TrainState, folder: Path, threads: Threads, keep_recipe: bool = True) -> None:
    """Start the log in a run's folder with what is trained, by which recipe and where; keep the recipe there."""
    logging.setup(folder / "train.log" if distributed.is_main() else None, console=device.logs_to_console(config))
    log = logging.get_logger()
    described = None if threads.reason is None else f"{threads.count} ({threads.reason})"
    machine = (environment.describe(described), paddle.get_device(), paddle.__version__)
    log.info("%s; device: %s; paddle %s", *machine, extra=logging.NOT_ON_TERMINAL)
    if paddle.get_device() == "cpu":
        log.info(ops.describe(), extra=logging.NOT_ON_TERMINAL)
    if distributed.world_size() > 1:
        batch = state.batch_layout["sampler"]["batch_size"]
        log.info("%d processes, batches of %d images together", distributed.world_size(), batch)
    # Without the position: trained again, the recipe starts from the beginning.
    start = config.with_global(checkpoints=None)
    if keep_recipe and distributed.is_main():
        atomic.write_text(folder / "config.yaml", to_yaml(start))
    if config.Distillation is not None:
        _log_distillation(config, config.Distillation, state)
    state.amp.log()
    counts = freezing.count(state.model)
    log.info(
        "%s: %s trainable parameters, %d classes", config.Arch.name, f"{counts['trainable']:,}", config.Arch.class_num
    )
    if config.Global.freeze:
        log.info("frozen: %s parameters, in %s", f"{counts['frozen']:,}", ", ".join(config.Global.freeze))
    _log_decay(config, state.trained)


def _log_distillation(config: Config, settings: DistillationSection, state: TrainState) -> None:
    log, student, arch = logging.get_logger(), config.student, config.Arch.name
    if settings.teacher is not None:
        shares, kind = (1 - settings.alpha, settings.alpha), settings.kind
        log.info("distillation: %g times the losses, %g times what the teacher's %s answers add", *shares, kind)
    for name, model in (settings.models or {}).items():
        count = freezing.count(state.peers[name])["trainable"] if name in state.peers else 0
        role = f"trained, too: {count:,} trainable parameters" if count else "frozen"
        log.info("distillation: %s (%s) learns with %s (%s; %s)", student, arch, name, model.name, role)


def _log_decay(config: Config, model: paddle.nn.Layer) -> None:
    """Say what each parameter's decay and share of the rate are, and which names of the recipe mean no parameter."""
    assert config.Optimizer is not None
    settings, log = decay_settings(model), logging.get_logger()
    counts = (len(settings.decayed), len(settings.not_decayed))
    log.info("weight decay on %d parameters, none on %d", *counts, extra=logging.NOT_ON_TERMINAL)
    for part in (config.Optimizer.arguments.get("no_weight_decay_name") or "").split():
        if not any(part in name for name in (*settings.decayed, *settings.not_decayed)):
            log.warning("Optimizer.no_weight_decay_name: no parameter has %r in its name", part)
    if settings.lr_factors[0] != 1:
        factors = settings.lr_factors
        log.info("layer decay: the learning rate times %.3g in the first layers to %.3g in the last", *factors)
