"""Prediction of images from a checkpoint."""

from __future__ import annotations

import contextlib
import json
from itertools import chain, islice
from pathlib import Path
from typing import Callable, Iterable, Iterator, List, Optional, Sequence

import numpy as np
import paddle

from ppcls.config.schema import Config
from ppcls.data.transforms import TransformOp, build_transforms
from ppcls.engine import device, preprocessing
from ppcls.engine.answers import build_postprocess, log_reduced_topk
from ppcls.engine.class_count import for_weights
from ppcls.engine.label_names import answer_names
from ppcls.engine.memory import explain_inference_memory
from ppcls.engine.model import build_model, fetch_weights, load_required_weights
from ppcls.engine.progress import progress_bar
from ppcls.errors import ConfigError, DataError, MachineError
from ppcls.inference import inputs, results
from ppcls.inference.pipeline import Answer, Pipeline
from ppcls.inference.postprocess import probabilities
from ppcls.inference.source import Source
from ppcls.inference.tta import augmented
from ppcls.utils import distributed, json_text
from ppcls.utils.folders import ensure_writable
from ppcls.utils.logging import get_logger, repeats_dropped
from ppcls.utils.paths import user_path


@repeats_dropped()
def infer(config: Config) -> List[Answer]:
    """Classify ``Infer.infer_imgs`` (or the images of ``Infer.infer_list``) and write ``predictions.json``.

    Of several processes each takes an equal part of the images and writes a file of its own; the first one puts these
    together, so ``Infer.save_dir`` must be the same folder for all.

    Returns:
        One dict per image: class_ids, scores, file_name, label_names and what else the post-processing gives; file_name
        and error if it cannot be read.
        Of several processes the first returns all, the others none.

    Raises:
        ConfigError, DataError, WeightsError: as their messages say.
    """
    device.setup_device(config)
    with distributed.errors_on_all_ranks():
        sources = _sources(config)
    distributed.require_equal_on_ranks("numbers of images", len(sources))
    pipeline = load_pipeline(config)
    target = user_path(config.Infer.save_dir or config.run_dir)
    key = "Infer.save_dir" if config.Infer.save_dir else "Global.output_dir"
    distributed.run_on_main(lambda: ensure_writable(target, f"{key}={target}", f"choose another with -o {key}=..."))
    batches = distributed.split_by_rank(sources, config.Infer.batch_size)
    with contextlib.closing(pipeline.answers(chain.from_iterable(batches))) as answers:
        progress = progress_bar(batches, "inference", len(batches))
        of_batches = (_log_errors(islice(answers, len(batch))) for batch in progress)
        multilabel = pipeline.postprocess.is_multilabel
        return _write(of_batches, target / "predictions.json", config.Infer.format, multilabel)


def load_pipeline(
    config: Config,
    batch_size: Optional[int] = None,
    topk: Optional[int] = None,
    model: Optional[paddle.nn.Layer] = None,
) -> Pipeline:
    """Return what answers with the recipe's weights; a collective.

    Args:
        batch_size: instead of ``Infer.batch_size``.
        topk: instead of ``Infer.PostProcess.topk``.
        model: takes the weights; None builds the recipe's.

    Raises:
        ConfigError, DataError, WeightsError: as their messages say.
    """
    with distributed.errors_on_all_ranks():
        transforms = build_transforms(transform_ops(config))
    fetch_weights(config)
    with distributed.errors_on_all_ranks():
        config = for_weights(config)
        model = build_model(config) if model is None else model
        weights = load_required_weights(config, model, "predict with")
        preprocessing.require_as_trained(config, transform_ops(config), preprocessing.INFER, weights)
        postprocess = build_postprocess(config, answer_names(config, weights), topk)
        if topk is None:
            log_reduced_topk(config)
        pipeline = Pipeline(
            transforms=transforms,
            run=make_predict_fn(model, postprocess.activation),
            postprocess=postprocess,
            batch_size=batch_size or config.Infer.batch_size,
        )
        try:
            return augmented(pipeline, config.Infer.tta)
        except ConfigError as error:
            raise ConfigError(f"{config.where('Infer', 'tta')}: Infer.{error}") from None


def _log_errors(answers: Iterable[Answer]) -> Iterator[Answer]:
    """Pass answers on; log what is wrong with an image."""
    for answer in answers:
        if "error" in answer:
            get_logger().error("%s: %s", answer["file_name"], answer["error"])
        yield answer


def _write(batches: Iterable[Iterable[Answer]], path: Path, form: str, multilabel: bool) -> List[Answer]:
    """Write the answers of all processes in the order of the images; return them in the first process; a collective."""
    if distributed.world_size() == 1:
        whole = list(chain.from_iterable(batches))
        _write_whole(path, whole, form, multilabel)
        return whole
    with distributed.errors_on_all_ranks():
        file = _part_file(path, distributed.rank()).open("w", encoding="utf-8")
    with file:
        for batch in batches:
            with distributed.errors_on_all_ranks():
                file.writelines(json_text.dumps(answer) + "\n" for answer in batch)
                file.flush()
    merged: List[Answer] = []
    # Not returned through ``from_main``: what is sent to the others must be small.
    distributed.run_on_main(lambda: merged.extend(_merge(path, form, multilabel)))
    return merged


def _merge(path: Path, form: str, multilabel: bool) -> List[Answer]:
    """Make the result file of the parts, and delete them."""
    parts = [_part_file(path, rank) for rank in range(distributed.world_size())]
    try:
        whole = [json.loads(line) for part in parts for line in part.read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError as error:
        raise MachineError(f"{error.filename}: missing; all machines must share the folder of the results") from None
    _write_whole(path, whole, form, multilabel)
    for part in parts:
        part.unlink()
    return whole


def _write_whole(path: Path, answers: Sequence[Answer], form: str, multilabel: bool) -> None:
    with results.open_writer(path, form, multilabel) as file:
        for answer in answers:
            file.add(answer)
    get_logger().info("wrote %s", path)


def _part_file(path: Path, rank: int) -> Path:
    return path.with_name(f"{path.name}.part{rank}")


def transform_ops(config: Config) -> List[TransformOp]:
    """Return the preprocessing of inference: ``Infer.transforms``, else that of evaluation.

    Raises:
        ConfigError: the recipe has neither.
    """
    if config.Infer.transforms is not None:
        return list(config.Infer.transforms)
    if config.DataLoader.Eval is None:
        raise ConfigError("Infer.transforms: missing, and there is no DataLoader.Eval whose transforms could be used")
    return list(config.DataLoader.Eval.dataset.transform_ops)


def make_predict_fn(model: paddle.nn.Layer, activation: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from a batch [B, C, H, W] to probabilities [B, K].

    It raises a MachineError if memory runs out.

    Args:
        activation: makes probabilities of the model's outputs; see ``PostProcess``.
    """
    model.eval()

    def run(batch: np.ndarray) -> np.ndarray:
        with paddle.no_grad(), explain_inference_memory(len(batch)):
            return probabilities(np.asarray(model(paddle.to_tensor(batch)).astype("float32")), activation)

    return run


def _sources(config: Config) -> List[Source]:
    images, listed = config.Infer.infer_imgs, config.Infer.infer_list
    if listed:
        return inputs.read_list(user_path(listed), _list_roots(config))
    if not images:
        raise ConfigError("nothing to predict: give -o Infer.infer_imgs=IMAGE_OR_FOLDER (or Infer.infer_list=FILE)")
    try:
        return inputs.collect(images)
    except DataError as error:
        raise DataError(f"{config.where('Infer', 'infer_imgs')}: Infer.infer_imgs: {error}") from None


def _list_roots(config: Config) -> List[Path]:
    """Return the folders to which the paths of ``Infer.infer_list`` may be relative, the likeliest first."""
    roots = [config.Infer.infer_imgs]
    if config.DataLoader.Eval is not None:
        roots.append(config.DataLoader.Eval.dataset.arguments.get("image_root"))
    found = [user_path(root) for root in roots if root]
    return [*found, user_path(config.Infer.infer_list or "").parent, Path()]
