"""Prediction of images from a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

import numpy as np
import paddle

from ppcls.config.schema import Config
from ppcls.data.transforms import build_transforms
from ppcls.deploy import inputs, pipeline
from ppcls.deploy.inputs import Source
from ppcls.deploy.postprocess import Topk, softmax
from ppcls.engine import build, journal
from ppcls.engine import folder as folders
from ppcls.errors import ConfigError
from ppcls.utils.logging import get_logger


def infer(config: Config) -> List[Dict[str, Any]]:
    """Classify ``Infer.infer_imgs`` (or the images of ``Infer.infer_list``) and write ``predictions.json``.

    Returns:
        One dict an image: class_ids, scores, file_name, label_names; file_name and error for one that cannot be read.

    Raises:
        ConfigError, DataError, WeightsError: as their messages say.
    """
    build.check_supported(config)
    sources = _sources(config)
    transforms = build_transforms(transform_ops(config))
    build.set_device(config.Global.device)
    model = build.model(config)
    weights = build.load_required_weights(config, model, "predict with")
    postprocess = Topk(config.Infer.PostProcess.topk, build.class_names(config, weights=weights))
    target = Path(config.Infer.save_dir or config.Global.output_dir).expanduser()
    folders.prepare(target, "Infer.save_dir" if config.Infer.save_dir else "Global.output_dir")
    shown = journal.progress(sources, "inference", len(sources))
    answers = list(pipeline.predict(shown, transforms, runner(model), postprocess, config.Infer.batch_size))
    for answer in answers:
        if "error" in answer:
            get_logger().error("%s: %s", answer["file_name"], answer["error"])
    journal.write_json(target / "predictions.json", answers)
    return answers


def transform_ops(config: Config) -> List[Mapping[str, Optional[Mapping[str, Any]]]]:
    """Return the preprocessing of inference: ``Infer.transforms``, else that of evaluation.

    Raises:
        ConfigError: the recipe has neither.
    """
    if config.Infer.transforms is not None:
        return list(config.Infer.transforms)
    if config.DataLoader.Eval is None:
        raise ConfigError("Infer.transforms: missing, and there is no DataLoader.Eval whose transforms could be used")
    return list(config.DataLoader.Eval.dataset.transform_ops)


def runner(model: paddle.nn.Layer) -> Any:
    """Return a function from a batch [B, C, H, W] to probabilities [B, K]."""
    model.eval()

    def run(batch: np.ndarray) -> np.ndarray:
        with paddle.no_grad():
            return softmax(np.asarray(model(paddle.to_tensor(batch)).astype("float32")))

    return run


def _sources(config: Config) -> List[Source]:
    images, listed = config.Infer.infer_imgs, config.Infer.infer_list
    if listed:
        return inputs.read_list(Path(listed).expanduser(), _list_roots(config))
    if not images:
        raise ConfigError("nothing to predict: give -o Infer.infer_imgs=IMAGE_OR_FOLDER (or Infer.infer_list=FILE)")
    return inputs.collect(images)


def _list_roots(config: Config) -> List[Path]:
    """Return the folders to which the paths of ``Infer.infer_list`` may be relative, the likeliest first."""
    roots = [config.Infer.infer_imgs]
    if config.DataLoader.Eval is not None:
        roots.append(config.DataLoader.Eval.dataset.arguments.get("image_root"))
    found = [Path(root).expanduser() for root in roots if root]
    return [*found, Path(config.Infer.infer_list or "").expanduser().parent, Path()]
