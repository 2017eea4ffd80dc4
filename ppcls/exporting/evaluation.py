"""Evaluate exported models with the losses and metrics of the recipe."""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple, Union

import numpy as np
import paddle

from ppcls import metric
from ppcls.config import appearance
from ppcls.config.schema import Config
from ppcls.data.loader import DataLoader
from ppcls.data.transforms import TransformOp, name_and_arguments
from ppcls.engine import device, preprocessing
from ppcls.engine.answers import build_postprocess, describe_switch, kind_of, label_kind
from ppcls.engine.checks import require_split
from ppcls.engine.criteria import build_loss, build_metrics, log_reduced_topk
from ppcls.engine.data import build_loader
from ppcls.engine.evaluation import complete_names, evaluate_model, evaluate_views, open_views, with_details
from ppcls.engine.inference import transform_ops
from ppcls.engine.label_names import export_classes, match_classes
from ppcls.engine.progress import format_values
from ppcls.engine.tta import to_logits
from ppcls.errors import ConfigError
from ppcls.inference import description
from ppcls.inference.backends import Backend, Request, choose, label, open_backend
from ppcls.inference.backends.devices import CPU, Device
from ppcls.inference.description import PIXELS, Description
from ppcls.registry.provenance import require_imported
from ppcls.utils import distributed, gpus
from ppcls.utils.logging import get_logger, repeats_dropped
from ppcls.utils.paths import user_path


class _Logits(paddle.nn.Layer):
    """Adapts a model's probabilities to losses that take logits."""

    def __init__(self, described: Description, backend: Backend) -> None:
        super().__init__()
        self.described = described
        self.backend = backend

    def forward(self, images: paddle.Tensor) -> paddle.Tensor:
        """Return logits [B, K] of images [B, C, H, W]."""
        batch = images.numpy()
        if self.described.input == PIXELS:
            batch = batch.transpose(0, 2, 3, 1).astype(np.uint8)
        probabilities = paddle.to_tensor(self.backend.run(batch))
        return to_logits(probabilities, self.described.postprocess.is_multilabel)


@repeats_dropped()
def evaluate_export(
    config: Config, path: Union[str, Path], backend: str = "auto", precision: Optional[str] = None
) -> Dict[str, Any]:
    """Evaluate an exported model on ``DataLoader.Eval``; return losses and metrics by name, in every process.

    What metrics report that is not one number, such as a confusion matrix, is in "details", by the metric's name.

    The data set, its batches, losses and metrics are the recipe's. The preprocessing is the export's; a warning says
    where it crops or resizes otherwise than the recipe's.

    Args:
        config: its ``Global.device`` is where the model computes.
        path: the export's folder, or an ONNX file.
        backend: "paddle", "onnx", "openvino" or "auto".
        precision: "float32", "bfloat16" or "auto", see ``ppcls.Predictor``; None for that of the export.

    Raises:
        ConfigError: images look different to the export than the recipe prepares them.
        ConfigError, DataError, MachineError: as their messages say.
    """
    _start(config)
    with distributed.errors_on_all_ranks():
        described = description.read(user_path(path))
        require_imported(described.imports, str(path))
        if not config.has_class_num:
            config = config.with_class_num(described.class_num, f"of {path}")
        if described.class_num != config.Arch.class_num:
            raise ConfigError(
                f"{path}: has {described.class_num} classes, the recipe {config.Arch.class_num} "
                f"({config.where('Arch', 'class_num')}): it was exported from another recipe"
            )
        kind = kind_of(described.postprocess.is_multilabel)
        if kind != label_kind(config):
            raise ConfigError(
                f"{path}: is a {kind} model, and {describe_switch(config)}: it was exported from another recipe"
            )
    with distributed.errors_on_all_ranks():
        _check_preprocessing(config, described)
        if described.class_names is not None:
            build_postprocess(config, list(described.class_names))  # it may name classes that are not there
    metrics, criterion = build_metrics(config, "Eval"), build_loss(config, "Eval")
    log_reduced_topk(config)
    if not described.postprocess.is_multilabel:  # a sigmoid's probabilities tell the logits themselves
        _check_losses(criterion, config.Arch.class_num)
    with distributed.errors_on_all_ranks():
        computing_on = _device(config)
    if distributed.world_size() > 1:  # not all at a time, each slowed down by the others: they find what the first did
        distributed.run_on_main(lambda: choose(backend, Request(described, None, computing_on, precision)))
    with distributed.errors_on_all_ranks():
        model = _Logits(described, open_backend(described, backend, device=computing_on, precision=precision))
    get_logger().info("%s, by the backend %s", described.name, label(model.backend))
    with contextlib.ExitStack() as stack:
        config, loader = _open_loader(config, described, stack)
        views = open_views(config, loader.dataset, stack)
        criterion = build_loss(config, "Eval", loader.dataset)
        result = evaluate_model(model, loader, criterion, metrics)
        get_logger().info("[Eval][Avg]%s", format_values(result))
        names = complete_names(config, loader.dataset.class_names or described.class_names)
        result = with_details(result, metrics.details(names))
        return {**result, **evaluate_views(config, model, views, criterion, metrics)}


def _start(config: Config) -> None:
    """Connect the processes. Where Paddle cannot use the GPU, ONNX Runtime may: Paddle stays on the CPU then."""
    without_paddle = config.Global.device == "gpu" and gpus.problem() is not None
    device.setup_device(config.with_global(device="cpu") if without_paddle else config)


def accuracy(config: Config, path: Path, backend: str) -> Tuple[float, int]:
    """Return the top-1 accuracy of an export on ``DataLoader.Eval``, computed on the CPU, and the number of images."""
    metrics = metric.build_metrics([{"TopkAcc": {"topk": 1}}])
    described = description.read(path)
    model = _Logits(described, open_backend(described, backend, device=CPU))
    with contextlib.ExitStack() as stack:
        config, loader = _open_loader(config, described, stack)
        result = evaluate_model(model, loader, build_loss(config, "Eval", loader.dataset), metrics)
        return result["top1"], len(loader.dataset)


def _open_loader(config: Config, described: Description, stack: contextlib.ExitStack) -> Tuple[Config, DataLoader]:
    """Return the recipe with the export's transforms in ``DataLoader.Eval``, and its loader, which ``stack`` closes."""
    with distributed.errors_on_all_ranks():
        tail = _as_tensor(described.image_shape[0]) if described.input == PIXELS else []
        config = _with_transforms(config, [*described.transform_ops, *tail])
        align = functools.partial(match_classes, config, export_classes(described), "the model")
        loader = stack.enter_context(build_loader(config, "Eval", align=align))
    distributed.require_equal_on_ranks("numbers of images", len(loader.dataset))
    return config, loader


def _device(config: Config) -> Device:
    """Return the device of the recipe; where there are several GPUs, this process's.

    Raises:
        ConfigError: exports do not run on such a device.
    """
    try:
        kind = Device.parse(config.Global.device).kind
    except ConfigError as error:
        raise ConfigError(f"{config.where('Global', 'device')}: Global.device: exported models: {error}") from None
    name, _, index = paddle.get_device().partition(":")
    return Device(kind, int(index or 0) if name == "gpu" else distributed.local_rank())


def _as_tensor(channels: int) -> List[TransformOp]:
    """Return transforms to pixels as float32 with the channels first, as the loader gives them; the values stay."""
    same = {"scale": 1.0, "mean": [0.0] * channels, "std": [1.0] * channels, "order": ""}
    return [{"NormalizeImage": same}, {"ToCHWImage": None}]


def _with_transforms(config: Config, ops: List[TransformOp]) -> Config:
    """Return the recipe with other transforms in ``DataLoader.Eval``."""
    section = require_split(config, "Eval")
    dataset = section.dataset.model_copy(update={"transform_ops": ops})
    loader = config.DataLoader.model_copy(update={"Eval": section.model_copy(update={"dataset": dataset})})
    return config.model_copy(update={"DataLoader": loader})


def _check_losses(criterion: Any, class_num: int) -> None:
    """Refuse losses that change when a constant is added to all logits: probabilities do not tell that constant.

    Raises:
        ConfigError: there is one.
    """
    logits = paddle.to_tensor(np.random.default_rng(0).standard_normal((2, class_num)), dtype="float32")
    labels = paddle.zeros([2], dtype="int64")
    losses, shifted = (criterion.per_sample(values, labels) for values in (logits, logits + 1))
    for name in criterion.names:
        if not np.allclose(losses[name][0].numpy(), shifted[name][0].numpy(), rtol=1e-3):
            raise ConfigError(
                f"Loss.Eval: {name} depends on logits, of which an export answers softmax's probabilities only; "
                f"evaluate it with another loss: -o 'Loss.Eval=[{{CELoss: {{}}}}]'"
            )


def _check_preprocessing(config: Config, described: Description) -> None:
    """Compare the preprocessing of an export with the recipe's.

    Raises:
        ConfigError: images look different to it: channels, normalization, interpolation, backends or size.
    """
    ops = transform_ops(config)
    in_model = (appearance.NORMALIZATION,) if described.input == PIXELS else ()
    found = preprocessing.differences(ops, described.transform_ops, ("the recipe", "the export"), in_model)
    before = described.values["Model"].get("image_shape_of_recipe")  # where the export was asked for another size
    expected = list(config.Global.image_shape)
    if expected not in (list(described.image_shape), before):
        where = config.where("Global", "image_shape")
        found.append(f"image_shape: {expected} ({where}) and {list(described.image_shape)} (the export)")
    if found:
        preprocessing.refuse(
            config,
            f"{described.path}: prepares images in another way than the recipe: {'; '.join(found)}; evaluate it with "
            "the recipe of its run (config.yaml in its folder), or export again",
        )
    tail = ("NormalizeImage", "ToCHWImage") if in_model else ()
    recipe_ops = [op for op in ops if name_and_arguments(op)[0] not in tail]
    preprocessing.warn_of_other_ops(recipe_ops, described.transform_ops, "the export, which is evaluated as it is")
