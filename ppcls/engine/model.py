"""The model of a recipe, and its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, List, Optional, Sequence, Tuple, Union

import paddle

from ppcls.arch import BACKBONES
from ppcls.arch.backbone.isotropic import IsotropicBackbone
from ppcls.config.schema import AUTO, DEFAULT, Config
from ppcls.engine.checkpointing import checkpoint
from ppcls.errors import ConfigError, WeightsError
from ppcls.utils import distributed
from ppcls.utils.logging import get_logger, warn_once
from ppcls.utils.paths import user_path
from ppcls.weights import create_model, load_weights
from ppcls.weights.download import is_url
from ppcls.weights.factory import local_weights, trained_image_size
from ppcls.weights.reader import find_file
from ppcls.weights.wording import OF_RECIPES, OF_USED_WEIGHTS, reworded


def build_model(config: Config) -> paddle.nn.Layer:
    """Build the architecture with its initial weights, which depend on ``Global.seed`` alone."""
    paddle.seed(config.Global.seed)
    try:
        model = create_model(config.Arch.name, class_num=config.Arch.class_num, **config.Arch.arguments)
    except ConfigError as error:
        raise ConfigError(f"{config.where('Arch', 'name')}: Arch: {error}") from None
    _warn_of_pixels_left_out(config, model)
    # One process sees the whole batch anyhow.
    several = distributed.world_size() > 1
    return paddle.nn.SyncBatchNorm.convert_sync_batchnorm(model) if config.Arch.use_sync_bn and several else model


def _warn_of_pixels_left_out(config: Config, model: paddle.nn.Layer) -> None:
    if not isinstance(model, IsotropicBackbone):
        return
    height, width = config.Global.image_shape[1:]
    rows, columns = model.pixels_left_out(height, width)
    lost = [f"{count} {name}" for count, name in ((rows, "rows"), (columns, "columns")) if count]
    if lost:
        warn_once(
            "patches of %d px do not divide images of %dx%d px: the last %s of each image are not used; change "
            "Arch.patch_size or the size of the images",
            *(model.patch_size, height, width, " and ".join(lost)),
        )


def compile_static(config: Config, model: paddle.nn.Layer) -> None:
    """Let the model compute as a static graph where ``Global.to_static`` asks for it; its weights stay its own."""
    if not config.Global.to_static:
        return
    # Operations without order would draw their random numbers in any order, and a run could not be repeated.
    paddle.set_flags({"FLAGS_new_executor_serial_run": True})
    # Any batch size: tracing a second graph would drop the gradients that were accumulated before it.
    shape = [None, *config.Global.image_shape]

    def check(layer: paddle.nn.Layer, inputs: Any) -> None:
        require_static_shape(config.Global.image_shape, inputs[0])

    model.register_forward_pre_hook(check)  # type: ignore[arg-type]
    paddle.jit.to_static(model, full_graph=True, input_spec=[paddle.static.InputSpec(shape, "float32", "x")])
    get_logger().info("Global.to_static: tracing the model takes seconds")


def require_static_shape(shape: Sequence[int], images: paddle.Tensor) -> None:
    """Refuse images of another shape than the one that a model was traced for; Paddle would run it with any.

    Args:
        shape: ``Global.image_shape``.
        images: [B, C, H, W].

    Raises:
        ConfigError: they have another shape.
    """
    given = list(images.shape[1:])
    if given != list(shape):
        raise ConfigError(f"Global.to_static needs images of Global.image_shape={list(shape)}, and got {given}")


def weights_path(config: Config) -> Optional[str]:
    """Return where the recipe says the weights are: a checkpoint, pretrained_model, or Arch.pretrained.

    What is a URL, or the published weights, is downloaded first.
    """
    value = given_weights(config)
    if not value:
        return None
    try:
        return str(local_weights(config.Arch.name, value, config.Global.weights_key))
    except WeightsError as error:
        raise WeightsError(f"{error}{_download_advice(config)}") from None


def _require_file(config: Config) -> None:
    """Raise a WeightsError that names the key where ``Global.pretrained_model`` or ``.checkpoints`` is no file."""
    value = given_weights(config)
    key = next((key for key in ("checkpoints", "pretrained_model") if getattr(config.Global, key) == value), None)
    if key is None or not isinstance(value, str) or is_url(value):
        return
    path, origin = user_path(value), config.where("Global", key)
    if checkpoint.exists(checkpoint.strip_suffix(value)):  # it may have to be completed first
        return
    try:
        find_file(path)
    except WeightsError as error:
        text = str(error) if path.parent.is_dir() else f"{value}: the folder {path.parent} does not exist"
        found = [prefix for prefix in (path / "best_model", path / "latest") if checkpoint.exists(prefix)]
        if found:
            text = f"{value} is a folder; give one of its checkpoints, such as {found[0]}"
        raise WeightsError(f"{'' if origin == DEFAULT else origin + ': '}Global.{key}: {text}") from None


def _download_advice(config: Config) -> str:
    """Return how to do without weights that cannot be fetched; nothing for those that are named as a file."""
    if config.Global.pretrained_model or config.Global.checkpoints not in (None, AUTO):
        return ""
    where = config.where("Arch", "pretrained")
    return (
        f"\nArch.pretrained ({where}) asks for these weights; to begin with random ones: -o Arch.pretrained=false, to "
        "use a file of yours: -o Arch.pretrained=PATH"
    )


def given_weights(config: Config) -> Union[bool, str, None]:
    """Return what the recipe says its weights are: a path, a URL, or True for the published ones."""
    resumed = None if config.Global.checkpoints == AUTO else config.Global.checkpoints
    return resumed or config.Global.pretrained_model or config.Arch.pretrained


def require_weights_of_options(config: Config) -> None:
    """Refuse options about weights where the recipe names none.

    Raises:
        ConfigError: there is such an option.
    """
    for key in ("weights_key", "weights_image_size"):
        if getattr(config.Global, key) is not None and not given_weights(config):
            raise ConfigError(
                f"{config.where('Global', key)}: Global.{key}: describes weights, and none are named; give them "
                "with -o Global.pretrained_model=PATH, or leave it out"
            )


def _warn_of_unused_pretrained(config: Config) -> None:
    """Say that other weights than those of ``Arch.pretrained`` are used, where the command line asks for it."""
    where, used = config.where("Arch", "pretrained"), given_weights(config)
    if config.Arch.pretrained and used != config.Arch.pretrained and where.startswith("-o "):
        warn_once("%s: Arch.pretrained is not used: %s comes first (%s)", where, *_origin_of_weights(config))


def _origin_of_weights(config: Config) -> Tuple[str, str]:
    """Return the key in ``Global`` that names the weights, and where it is given."""
    key = "pretrained_model" if config.Global.checkpoints in (None, AUTO) else "checkpoints"
    return f"Global.{key}", config.where("Global", key)


def fetch_weights(config: Config) -> Optional[str]:
    """Make the recipe's weights ready to be read by all processes at once; a collective. Return their path.

    Raises:
        ConfigError: the recipe says how to read weights, and names none.
        WeightsError: they cannot be found or fetched.
    """

    def fetch() -> None:
        require_weights_of_options(config)
        _warn_of_unused_pretrained(config)
        _require_file(config)
        path = weights_path(config)
        if path is not None:
            checkpoint.check_weights(path)

    distributed.run_on_main(fetch)
    with distributed.errors_on_all_ranks():
        return weights_path(config)


def load_required_weights(
    config: Config,
    model: paddle.nn.Layer,
    purpose: str,
    find_order: Optional[Callable[[str], Optional[Sequence[int]]]] = None,
) -> str:
    """Load the recipe's weights into the model; return their path.

    Args:
        purpose: what they are loaded for, for messages.
        find_order: returns ``class_ids`` of ``load_weights`` for a path; None keeps the order of the classes.

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
    get_logger().info(load_from(config, model, path, False, find_order(path) if find_order else None, strict=True))
    return path


def load_from(
    config: Config,
    model: paddle.nn.Layer,
    path: str,
    drop_mismatched_head: bool,
    class_ids: Optional[Sequence[int]] = None,
    strict: bool = False,
) -> str:
    """Load weights; return what to log: what was loaded, and what left out.

    An interrupted checkpoint was finished by ``fetch_weights``.

    Args:
        class_ids: as for ``load_weights``.
        strict: whether the weights are used without training, so that classifier and image channels have to be theirs,
            and values of the command line are about them in any case. Of a training with stages, they are about those
            of the first one.
    """
    key, image_size = _weight_options(config, path, strict)
    size = image_size or trained_image_size(config.Arch.name, given_weights(config))
    with reworded(OF_USED_WEIGHTS if strict else OF_RECIPES):
        report = load_weights(
            model,
            path,
            key=key,
            drop_mismatched_head=drop_mismatched_head,
            adapt="image_size" if strict else True,
            image_size=size,
            submodel=config.student,
            class_ids=class_ids,
        )
    return f"weights: {path}: {report}"


def _weight_options(config: Config, path: str, strict: bool) -> Tuple[Optional[str], Optional[List[int]]]:
    """Return ``Global.weights_key`` and ``Global.weights_image_size``, as far as they are about these weights.

    A recipe has them for the weights of others that it starts from. Our own checkpoints need neither.

    Args:
        strict: see ``load_from``.

    Raises:
        ConfigError: the architecture takes images of any size.
    """
    key, size = config.Global.weights_key, config.Global.weights_image_size
    if size is not None and not BACKBONES[config.Arch.name].takes("image_size"):
        raise ConfigError(
            f"{config.where('Global', 'weights_image_size')}: Global.weights_image_size: the weights of "
            f"{config.Arch.name} fit images of any size; leave it out"
        )
    if (key is None and size is None) or not checkpoint.exists(checkpoint.strip_suffix(path)):
        return key, size
    given = {"weights_key": key, "weights_image_size": size}
    unused = [
        name
        for name, value in given.items()
        if value is not None and not (strict and config.where("Global", name).startswith("-o "))
    ]
    for name in unused:
        get_logger().info(
            "Global.%s (%s) is not used: %s is a checkpoint of ppcls", name, config.where("Global", name), path
        )
    return None if "weights_key" in unused else key, None if "weights_image_size" in unused else size
