"""The model of a recipe, and its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Optional, Sequence, Union

import paddle

from ppcls.config.schema import AUTO, Config
from ppcls.engine.checkpointing import checkpoint
from ppcls.errors import ConfigError, WeightsError
from ppcls.utils import distributed
from ppcls.utils.logging import get_logger
from ppcls.weights import create_model, load_weights
from ppcls.weights.factory import local_weights, trained_image_size


def build_model(config: Config) -> paddle.nn.Layer:
    """Build the architecture with its initial weights, which depend on ``Global.seed`` alone."""
    paddle.seed(config.Global.seed)
    try:
        model = create_model(config.Arch.name, class_num=config.Arch.class_num, **config.Arch.arguments)
    except ConfigError as error:
        raise ConfigError(f"{config.where('Arch', 'name')}: Arch: {error}") from None
    # One process sees the whole batch anyhow.
    several = distributed.world_size() > 1
    return paddle.nn.SyncBatchNorm.convert_sync_batchnorm(model) if config.Arch.use_sync_bn and several else model


def compile_static(config: Config, model: paddle.nn.Layer) -> None:
    """Let the model compute as a static graph where ``Global.to_static`` asks for it; its weights stay its own."""
    if not config.Global.to_static:
        return
    # Operations without order would draw their random numbers in any order, and a run could not be repeated.
    paddle.set_flags({"FLAGS_new_executor_serial_run": True})
    # Any batch size: tracing a second graph would drop the gradients that were accumulated before it.
    shape = [None, *config.Global.image_shape]
    model.register_forward_pre_hook(_require_shape(config.Global.image_shape))
    paddle.jit.to_static(model, full_graph=True, input_spec=[paddle.static.InputSpec(shape, "float32", "x")])
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
    value = given_weights(config)
    return str(local_weights(config.Arch.name, value)) if value else None


def given_weights(config: Config) -> Union[bool, str, None]:
    """Return what the recipe says its weights are: a path, a URL, or True for the published ones."""
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


def load_required_weights(config: Config, model: paddle.nn.Layer, purpose: str) -> str:
    """Load the recipe's weights into the model; return their path.

    Raises:
        ConfigError: the recipe names none: a model of random weights would answer nonsense.
        WeightsError: the file is missing, refused or does not fit.
    """
    path = weights_path(config)
    if path is None:
        raise ConfigError(
            f"no weights to {purpose}: give -o Global.pretrained_model=PATH (for example "
            f"{Path(config.run_dir) / 'best_model'})"
        )
    # Never without its head: one that was not trained would answer nonsense.
    get_logger().info(_load(config, model, path, drop_mismatched_head=False))
    return path


def load_initial_weights(config: Config, model: paddle.nn.Layer, path: str) -> str:
    """Load weights to train from; return what to log: what was loaded, and what left out."""
    return _load(config, model, path, drop_mismatched_head=config.Global.drop_mismatched_head)


def _load(config: Config, model: paddle.nn.Layer, path: str, drop_mismatched_head: bool) -> str:
    """Load weights; an interrupted checkpoint was finished by ``fetch_weights``."""
    try:
        size = trained_image_size(config.Arch.name, given_weights(config))
        report = load_weights(
            model, path, drop_mismatched_head=drop_mismatched_head, image_size=size, submodel=config.student
        )
    except WeightsError as error:  # the recipe's word for it
        text = str(error).replace("drop_mismatched_head=True", "-o Global.drop_mismatched_head=true")
        raise WeightsError(text) from None
    return f"weights: {path}: {report}"
