"""A trained model as Paddle inference files, with everything needed to use them."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Mapping, Tuple

import numpy as np
import paddle

import ppcls
from ppcls.config.schema import Config
from ppcls.data import build_dataset
from ppcls.data.transforms import build_transforms
from ppcls.deploy import Predictor, description
from ppcls.deploy.inputs import Source, collect
from ppcls.engine import build, commit
from ppcls.engine import folder as folders
from ppcls.engine.inference import runner, transform_ops
from ppcls.errors import ConfigError, DataError, ExportError
from ppcls.utils import distributed
from ppcls.utils.logging import get_logger

_STEM = "inference"
_IMAGES = 8  # compared after every export
TOLERANCE = 1e-4  # largest allowed difference of a probability


class _WithSoftmax(paddle.nn.Layer):
    """The model as deployed: probabilities instead of logits."""

    def __init__(self, model: paddle.nn.Layer) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: paddle.Tensor) -> paddle.Tensor:
        """Return probabilities [B, K] of images [B, C, H, W]."""
        return paddle.nn.functional.softmax(self.model(images), axis=1)


def export(config: Config) -> Dict[str, Any]:
    """Export the recipe's weights to ``Global.save_inference_dir`` and compare the result with them.

    Returns:
        {"folder", "images" compared, "max_difference" of a probability}.

    Raises:
        ConfigError: no weights are named: an export of random ones would look like any other.
        WeightsError: they do not fit.
        ExportError: the exported model answers differently; nothing is left behind then, and an earlier export stays.
    """
    build.check_supported(config)
    if distributed.world_size() > 1:
        raise ConfigError("export runs in one process: start it without paddle.distributed.launch")
    build.fetch_weights(config)
    build.set_device("cpu")  # the files do not depend on the device that wrote them
    ops = transform_ops(config)
    transforms = build_transforms(ops)
    model = build.model(config)
    weights = build.load_required_weights(config, model, "export")
    model.eval()
    target = Path(config.Global.save_inference_dir).expanduser().resolve()
    folders.prepare(target.parent, "Global.save_inference_dir")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as temporary:
        folder = Path(temporary) / "export"
        files = _save(model, config, folder)
        _describe(config, folder, weights, ops, files)
        count, difference = _compare(config, model, folder, transforms)
        _replace(folder, target)
    get_logger().info("exported %s to %s; largest difference on %d images: %.2g", weights, target, count, difference)
    return {"folder": str(target), "images": count, "max_difference": difference}


def _save(model: paddle.nn.Layer, config: Config, folder: Path) -> Dict[str, str]:
    """Write the inference files; return their digests by name."""
    folder.mkdir()
    shape = [None, *config.Global.image_shape]
    spec = [paddle.static.InputSpec(shape=shape, dtype="float32", name="x")]
    layer = _WithSoftmax(model)
    layer.eval()
    static = paddle.jit.to_static(layer, input_spec=spec, full_graph=True)
    try:
        paddle.jit.save(static, str(folder / _STEM))
    except (OSError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[-1]
        target = config.Global.save_inference_dir
        raise ExportError(f"{target}: cannot be written (is the disk full?): {reason}") from error
    return {file.name: commit.sha256(file) for file in sorted(folder.iterdir()) if not file.name.endswith(".info")}


def _describe(
    config: Config, folder: Path, weights: str, ops: List[Mapping[str, Any]], files: Mapping[str, str]
) -> None:
    path = Path(weights).expanduser()
    path = path if path.is_file() else commit.named(path, ".pdparams")
    values = {
        "Global": {"model_name": config.Arch.name, "image_shape": list(config.Global.image_shape)},
        "PreProcess": {"transform_ops": [dict(op) for op in ops]},
        "PostProcess": {
            "Topk": {
                "topk": min(config.Infer.PostProcess.topk, config.Arch.class_num),
                "label_list": build.class_names(config, weights=weights),
            }
        },
        "Model": {
            "architecture": {"name": config.Arch.name, "class_num": config.Arch.class_num, **config.Arch.arguments},
            "weights_sha256": commit.sha256(path),
            "output": "probabilities",
            "files": dict(files),
        },
        "Versions": {"ppcls": ppcls.__version__, "paddle": paddle.__version__},
    }
    description.write(folder, values)


def _compare(config: Config, model: paddle.nn.Layer, folder: Path, transforms: Any) -> Tuple[int, float]:
    """Return how many images were compared and the largest difference of a probability.

    Raises:
        ExportError: it is above ``TOLERANCE``, or an answer is not finite.
    """
    images = _images(config, transforms)
    predictor = Predictor(folder)
    expected = runner(model)(images)
    if not np.isfinite(expected).all():
        raise ExportError("the model's own answers are not finite: its weights are damaged; nothing was exported")
    difference = 0.0
    for count in (1, len(images)):  # the batch size of the exported model is free
        difference = max(difference, float(np.abs(predictor.run(images[:count]) - expected[:count]).max()))
    if not difference <= TOLERANCE:
        raise ExportError(
            f"the exported model differs from the trained one by {difference:.3g} (allowed: {TOLERANCE:g}); nothing "
            f"was exported"
        )
    return len(images), difference


def _images(config: Config, transforms: Any) -> np.ndarray:
    """Return preprocessed images [B, C, H, W] of ``Infer.infer_imgs`` or the evaluation set, else noise (said so).

    Raises:
        ConfigError: they have another size than the exported model will take.
    """
    rng = np.random.default_rng(0)
    shape = tuple(config.Global.image_shape)
    images = []
    for source in _sources(config):
        image = transforms(source.read(), rng)
        if image.shape != shape:
            raise ConfigError(
                f"{source.name}: the transforms make an image of {list(image.shape)}, but the exported model takes "
                f"Global.image_shape={list(shape)}; change one of them"
            )
        images.append(image)
    if images:
        return np.stack(images)
    get_logger().warning("no real images at hand: the export is compared on noise. Better: -o Infer.infer_imgs=FOLDER")
    return rng.standard_normal((_IMAGES, *shape), dtype=np.float32)


def _sources(config: Config) -> List[Source]:
    """Return some images: an export must also work where the data are not."""
    for find in (_named_images, _evaluation_images):
        try:
            sources = find(config)
        except DataError as error:
            get_logger().warning("not compared on these images: %s", error)
            continue
        if sources:
            return sources
    return []


def _named_images(config: Config) -> List[Source]:
    return collect(config.Infer.infer_imgs)[:_IMAGES] if config.Infer.infer_imgs else []


def _evaluation_images(config: Config) -> List[Source]:
    if config.DataLoader.Eval is None:
        return []
    dataset = build_dataset(config.DataLoader.Eval.dataset.model_dump(), train=False)
    chosen = np.linspace(0, len(dataset) - 1, min(_IMAGES, len(dataset))).astype(int)
    return [Source(dataset.describe(int(index)), dataset.read(int(index))) for index in chosen]


def _replace(folder: Path, target: Path) -> None:
    """Put the new export in the place of an earlier one; anything else is not overwritten.

    Raises:
        ExportError: ``target`` is a folder or file that is not an export.
    """
    if not target.exists():
        folder.replace(target)
        return
    if target.is_dir() and not any(target.iterdir()):
        target.rmdir()
        folder.replace(target)
        return
    if not (target / description.FILE).is_file():
        raise ExportError(
            f"{target} exists and is not an exported model; choose another folder with -o Global.save_inference_dir=..."
        )
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    target.replace(old)
    folder.replace(target)
    shutil.rmtree(old)
