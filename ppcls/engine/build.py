"""From the sections of a recipe to a device, a model with weights, and loaders."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, List, Optional, Sequence, Union

import numpy as np
import paddle

from ppcls.config.schema import AUTO, Config, Split
from ppcls.data import build_loader, check_validation_split
from ppcls.data.datasets import Dataset
from ppcls.data.datasets.names import read_class_names
from ppcls.data.loader import DataLoader
from ppcls.engine.checkpointing import checkpoint
from ppcls.errors import ConfigError, DataError, MachineError, WeightsError
from ppcls.loss import build_loss
from ppcls.metric import build_metrics
from ppcls.utils import distributed, gpus, logging
from ppcls.utils.logging import get_logger
from ppcls.utils.paths import user_path
from ppcls.weights import create_model, load_weights
from ppcls.weights.factory import local_weights, trained_image_size


def set_device(name: str) -> str:
    """Select the device that ``Global.device`` names; "auto" is a GPU where Paddle can use one, else the CPU.

    Raises:
        MachineError: this build of Paddle, or this machine, has no such device.
    """
    missing = gpus.problem() if name in ("auto", "gpu") else None
    if name == "auto":
        name = "cpu" if missing else "gpu"
    elif missing:
        raise _unusable(name, missing)
    try:
        return str(paddle.device.set_device(name))
    except (ValueError, RuntimeError) as error:
        raise _unusable(name, str(error).strip().splitlines()[-1]) from None


def _unusable(name: str, reason: str) -> MachineError:
    build = "" if name == "gpu" else f", or install the PaddlePaddle build for {name}"
    return MachineError(f"Global.device={name}: not usable here ({reason}); use -o Global.device=cpu{build}")


def start(config: Config) -> None:
    """Select the device and connect the processes; a collective. Only ``Global.log_ranks`` talk from here on.

    Raises:
        ConfigError: the recipe uses what this version, or this device, does not have.
        MachineError: no such device, or the processes cannot be connected.
    """
    check_supported(config)
    set_device(config.Global.device)
    device = paddle.get_device()
    if config.Arch.use_sync_bn and device == "cpu" and distributed.world_size() > 1:
        raise ConfigError(
            f"{config.where('Arch', 'use_sync_bn')}: Arch.use_sync_bn: not available on CPUs; turn off with "
            f"-o Arch.use_sync_bn=false (running statistics are averaged over the processes all the same)"
        )
    distributed.init(device)
    if distributed.world_size() > 1:
        logging.setup(console=speaks(config))


def speaks(config: Config) -> bool:
    """Return whether this process prints its log to the console."""
    return str(distributed.rank()) in config.Global.log_ranks.replace(" ", "").split(",")


def check_supported(config: Config) -> None:
    """Refuse a recipe that is several.

    Raises:
        ConfigError: it has stages, and none was chosen.
    """
    if config.Stages:
        raise ConfigError(
            f"the recipe has Stages ({', '.join(config.stages)}): choose one, with --stage or, in Python, "
            f"ppcls.engine.stages.evaluation_recipe(config, name)"
        )


def split(config: Config, name: str) -> Split:
    """Return ``DataLoader.Train`` or ``DataLoader.Eval``.

    Raises:
        ConfigError: the recipe has no such section, or both are to share a folder out and disagree about it.
    """
    section = getattr(config.DataLoader, name)
    if section is None:
        raise ConfigError(f"DataLoader.{name}: missing; the recipe has no data to {name.lower()} with")
    if config.DataLoader.Train is not None and config.DataLoader.Eval is not None:
        train, evaluation = (side.dataset.model_dump() for side in (config.DataLoader.Train, config.DataLoader.Eval))
        check_validation_split(train, evaluation)
    return section


def loader(config: Config, name: str) -> DataLoader:
    """Build the loader of ``DataLoader.Train`` or ``DataLoader.Eval``; labels are checked against Arch.class_num."""
    section = split(config, name).model_dump()
    try:
        return build_loader(
            section,
            train=name == "Train",
            seed=config.Global.seed,
            class_num=config.Arch.class_num,
            rank=distributed.rank(),
            num_replicas=distributed.world_size(),
        )
    except (ConfigError, DataError) as error:  # both sides have the same keys
        raise type(error)(f"{_place(config, name, str(error))}DataLoader.{name}: {error}") from None


def _place(config: Config, name: str, message: str) -> str:
    """Return "file:line: " of the data set's key that a message begins with, "" where it begins with none."""
    key = message.partition(":")[0]
    known = key in split(config, name).dataset.arguments
    return f"{config.where('DataLoader', name, 'dataset', key)}: " if known else ""


def global_batch(config: Config) -> int:
    """Return how many images make one update: of all processes, and of all batches that are accumulated."""
    size = split(config, "Train").sampler.arguments["batch_size"]
    return int(size) * distributed.world_size() * config.Global.update_freq


def metrics(config: Config, mode: str) -> Any:
    """Build the metrics of ``Metric.Train`` or ``Metric.Eval``, checked against the class count.

    Raises:
        ConfigError: a metric makes no sense for this many classes.
    """
    components = getattr(config.Metric, mode)
    if components is None:
        components = [{"TopkAcc": {"topk": sorted({1, min(5, config.Arch.class_num)})}}] if mode == "Eval" else []
    combined = build_metrics(components)
    try:
        combined.check(config.Arch.class_num)
    except ConfigError as error:
        raise ConfigError(f"Metric.{mode}: {error} ({config.where('Arch', 'class_num')})") from None
    return combined


def loss(config: Config, mode: str, train_labels: Optional[np.ndarray] = None) -> Any:
    """Build the losses of ``Loss.Train`` or ``Loss.Eval``.

    Args:
        train_labels: of the training data, [N] int64, for what follows from them.

    Raises:
        ConfigError: a loss makes no sense for this many classes, or without training data.
    """
    try:
        return build_loss(getattr(config.Loss, mode), config.Arch.class_num, train_labels)
    except ConfigError as error:
        raise ConfigError(f"Loss.{mode}: {error}") from None


def model(config: Config) -> paddle.nn.Layer:
    """Build the architecture with its initial weights, which depend on ``Global.seed`` alone."""
    paddle.seed(config.Global.seed)
    try:
        net = create_model(config.Arch.name, class_num=config.Arch.class_num, **config.Arch.arguments)
    except ConfigError as error:
        raise ConfigError(f"{config.where('Arch', 'name')}: Arch: {error}") from None
    # One process sees the whole batch anyhow.
    several = distributed.world_size() > 1
    return paddle.nn.SyncBatchNorm.convert_sync_batchnorm(net) if config.Arch.use_sync_bn and several else net


def static(config: Config, net: paddle.nn.Layer) -> None:
    """Let the model compute as a static graph where ``Global.to_static`` asks for it; its weights stay its own."""
    if not config.Global.to_static:
        return
    # Operations without order would draw their random numbers in any order, and a run could not be repeated.
    paddle.set_flags({"FLAGS_new_executor_serial_run": True})
    # Any batch size: tracing a second graph would drop the gradients that were accumulated before it.
    shape = [None, *config.Global.image_shape]
    net.register_forward_pre_hook(_require_shape(config.Global.image_shape))
    paddle.jit.to_static(net, full_graph=True, input_spec=[paddle.static.InputSpec(shape, "float32", "x")])
    get_logger().info("Global.to_static: tracing the model takes seconds")


def _require_shape(shape: Sequence[int]) -> Callable[..., Any]:
    """Return a hook for a model that was traced for one shape of image, and that Paddle would run with any other."""

    def check(layer: paddle.nn.Layer, inputs: Sequence[paddle.Tensor]) -> None:
        given = list(inputs[0].shape[1:])
        if given != list(shape):
            raise ConfigError(f"Global.to_static needs images of Global.image_shape={list(shape)}, and got {given}")

    return check


def weights_path(config: Config) -> Optional[str]:
    """Return where the recipe says the weights are: a checkpoint, pretrained_model, or Arch.pretrained.

    What is a URL, or the published weights, is downloaded first.
    """
    value = _given_weights(config)
    return str(local_weights(config.Arch.name, value)) if value else None


def _given_weights(config: Config) -> Union[bool, str, None]:
    resumed = None if config.Global.checkpoints == AUTO else config.Global.checkpoints
    return resumed or config.Global.pretrained_model or config.Arch.pretrained


def fetch_weights(config: Config) -> Optional[str]:
    """Make the recipe's weights ready to be read by all processes at once; a collective. Return their path."""

    def fetch() -> None:
        path = weights_path(config)
        if path is not None:
            checkpoint.check_weights(path)

    distributed.run_on_main(fetch)
    with distributed.errors_on_all_ranks():
        return weights_path(config)


def load_required_weights(config: Config, net: paddle.nn.Layer, purpose: str) -> str:
    """Load the recipe's weights into the model; return their path.

    Raises:
        ConfigError: the recipe names none: a model of random weights would answer nonsense.
        WeightsError: the file is missing, refused or does not fit.
    """
    path = weights_path(config)
    if path is None:
        raise ConfigError(
            f"no weights to {purpose}: give -o Global.pretrained_model=PATH (for example "
            f"{Path(config.Global.output_dir) / 'best_model'})"
        )
    # Never without its head: one that was not trained would answer nonsense.
    get_logger().info(_load(config, net, path, drop_mismatched_head=False))
    return path


def load_initial_weights(config: Config, net: paddle.nn.Layer, path: str) -> str:
    """Load weights to train from; return what to log: what was loaded, and what left out."""
    return _load(config, net, path, drop_mismatched_head=config.Global.drop_mismatched_head)


def _load(config: Config, net: paddle.nn.Layer, path: str, drop_mismatched_head: bool) -> str:
    """Load weights; an interrupted checkpoint was finished by ``fetch_weights``."""
    try:
        size = trained_image_size(config.Arch.name, _given_weights(config))
        report = load_weights(net, path, drop_mismatched_head=drop_mismatched_head, image_size=size)
    except WeightsError as error:  # the recipe's word for it
        text = str(error).replace("drop_mismatched_head=True", "-o Global.drop_mismatched_head=true")
        raise WeightsError(text) from None
    return f"weights: {path}: {report}"


def class_names(config: Config, weights: Optional[str] = None) -> Optional[List[str]]:
    """Return the label names of the recipe's file, else those saved with the weights, None where there are none.

    Raises:
        DataError: the file is missing or does not name every class.
    """
    file = config.Infer.PostProcess.class_id_map_file
    if not file:
        return checkpoint.class_names(checkpoint.strip_suffix(weights)) if weights else None
    try:
        names = read_class_names(user_path(file))
    except DataError as error:
        raise DataError(
            f"{config.where('Infer', 'PostProcess', 'class_id_map_file')}: {error}; without names: "
            f"-o Infer.PostProcess.class_id_map_file=null"
        ) from None
    if len(names) != config.Arch.class_num:
        raise DataError(f"{file}: {len(names)} names for {config.Arch.class_num} classes (Arch.class_num)")
    return names


def training_class_names(config: Config, dataset: Dataset) -> Optional[List[str]]:
    """Return the label names to keep with the weights: the data set's, else those of the recipe's file."""
    try:
        names = dataset.class_names or class_names(config)
    except DataError as error:  # it concerns inference: no reason not to train
        get_logger().warning("%s; the checkpoints will not have class names", error)
        return None
    if names is not None and len(names) != config.Arch.class_num:
        get_logger().warning(
            "there are names of %d classes (in labels.txt beside the list, or in image_root) and Arch.class_num is "
            "%d: is one of image_root and class_num wrong? The checkpoints will not have class names",
            *(len(names), config.Arch.class_num),
        )
        return None
    return names
