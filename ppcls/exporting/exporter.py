"""A trained model as files for Paddle Inference and ONNX Runtime, with everything needed to use them."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence

import paddle

import ppcls
from ppcls.config.schema import Config
from ppcls.data.transforms import TRANSFORMS, TransformOp, name_and_arguments
from ppcls.engine import preprocessing
from ppcls.engine.answers import build_postprocess, log_reduced_topk, postprocess_source
from ppcls.engine.checks import require_single_run
from ppcls.engine.class_count import for_weights
from ppcls.engine.device import set_device
from ppcls.engine.inference import transform_ops
from ppcls.engine.label_names import answer_names, model_classes
from ppcls.engine.model import build_model, fetch_weights, load_required_weights
from ppcls.errors import ConfigError, ExportError
from ppcls.exporting import batch_norm, images, int8, onnx_models, target_dir
from ppcls.exporting import examples as example_pictures
from ppcls.exporting.comparison import Expected, compare
from ppcls.exporting.image_size import with_image_size
from ppcls.exporting.options import Options
from ppcls.inference import description, examples
from ppcls.inference.agreement import within_tolerance
from ppcls.inference.postprocess import SIGMOID, PostProcess
from ppcls.registry.sources import records
from ppcls.utils import distributed
from ppcls.utils.digests import sha256
from ppcls.utils.encoding import takes_names_for_ascii
from ppcls.utils.logging import get_logger, repeats_dropped
from ppcls.weights.reader import find_file


class _WithActivation(paddle.nn.Layer):
    """The model with a softmax or, for multi-label models, a sigmoid behind it, as it is deployed."""

    def __init__(self, model: paddle.nn.Layer, activation: str) -> None:
        super().__init__()
        self.model = model
        self.activation = paddle.nn.Sigmoid() if activation == SIGMOID else paddle.nn.Softmax(axis=1)

    def forward(self, images: paddle.Tensor) -> paddle.Tensor:
        """Return probabilities [B, K] of images [B, C, H, W]."""
        return self.activation(self.model(images))


@repeats_dropped()
def export(config: Config, options: Optional[Options] = None) -> Dict[str, Any]:
    """Export the recipe's weights to ``Global.save_inference_dir`` and compare the result with them.

    Returns:
        {"folder", "images": how many were compared, "max_difference" of a probability, "batch_norms": {"folded",
        "kept"}, "models": the result of the comparison by file; for int8 with the accuracy before and after}.

    Raises:
        ConfigError: no weights are named.
        WeightsError: they do not fit.
        MachineError: a package is missing.
        ExportError: an exported model answers differently. Nothing is written then, and an earlier export stays.
    """
    options = options or Options()
    require_single_run(config)
    if distributed.world_size() > 1:
        raise ConfigError("export runs in one process: start it without paddle.distributed.launch")
    target = target_dir.prepare_target(config)
    fetch_weights(config)
    config = for_weights(config)
    set_device("cpu")  # the files do not depend on the device that wrote them
    if config.Global.device not in ("auto", "cpu"):
        get_logger().info("Global.device=%s: an export is computed and compared on the CPU", config.Global.device)
    recipe_shape, recipe_ops = list(config.Global.image_shape), transform_ops(config)
    config = with_image_size(config, options.image_size) if options.image_size is not None else config
    ops = transform_ops(config)
    onnx_models.check(config, options, ops)
    model = build_model(config)
    weights = load_required_weights(config, model, "export")
    preprocessing.require_as_trained(config, recipe_ops, preprocessing.INFER, weights)
    pictures = example_pictures.collect(config, weights, options.examples)
    model.eval()
    postprocess = build_postprocess(config, answer_names(config, weights))
    log_reduced_topk(config)
    if config.Infer.tta != "none":
        text = "Infer.tta=%s is not part of an export, which takes one view: give it to those who use it (--tta %s)"
        get_logger().warning(text, config.Infer.tta, config.Infer.tta)
    expected = Expected.of(model, images.sample(config, ops), ops, postprocess.activation)
    folded, kept = batch_norm.fold(model, expected.sample.tensors)
    description_values = _description(config, weights, ops, recipe_shape, postprocess)
    with target_dir.temporary_export_dir(target) as folder:
        models = _write(config, options, model, folder, description_values, expected)
        _add_examples(folder, description_values, pictures)
        target_dir.replace(folder, target, weights)
    report = {
        "folder": str(target),
        "images": len(expected.probabilities),
        "max_difference": next(iter(models.values()))["max_difference"],
        "batch_norms": {"folded": folded, "kept": kept},
        "models": models,
    }
    _log(report, weights)
    return report


def _write(
    config: Config, options: Options, model: paddle.nn.Layer, folder: Path, values: Dict[str, Any], expected: Expected
) -> Dict[str, Dict[str, Any]]:
    """Write the export; return the result of each file's comparison, Paddle's first.

    Args:
        values: the description; what is only known now is added.
    """
    _save(_WithActivation(model, expected.activation), config, folder)
    values["Model"].update(files=_digests(folder), precision="bfloat16" if options.bf16 else "float32")
    description.write(folder, values)
    paddle_model = next(name for name in values["Model"]["files"] if not name.endswith(".pdiparams"))
    models = {paddle_model: compare(expected, folder, "paddle")}
    if options.any_onnx:
        models.update(onnx_models.add(config, options, folder, values, expected))
        values["Model"]["files"] = _digests(folder)
    values["Comparison"] = {"images": len(expected.probabilities), "models": models}
    description.write(folder, values)
    return models


def _add_examples(folder: Path, values: Dict[str, Any], pictures: Sequence[examples.Example]) -> None:
    """Write the example pictures and their description, after the files of the models, which carry none."""
    if not pictures:
        return
    values[examples.KEY] = examples.write(folder, pictures)
    description.write(folder, values)
    size = sum(len(picture.data) for picture in pictures)
    get_logger().info(
        "%d examples of DataLoader.Eval, %.0f kB: whoever gets the export gets these pictures",
        len(pictures),
        size / 1000,
    )


def _log(report: Mapping[str, Any], weights: str) -> None:
    log = get_logger()
    log.info("batch norms: %d folded into convolutions, %d kept", *report["batch_norms"].values())
    log.info("exported %s to %s, compared on %d images:", weights, report["folder"], report["images"])
    for name, result in report["models"].items():
        text = f"largest difference of a probability {result['max_difference']:.2g}"
        text += f", the same class for {result['top1_agreement']:.0%}"
        if "top1" in result:
            text += f", {int8.accuracy_change_text(result['top1'], result['top1_images'])}"
        log.info("  %s: %s", name, text)
        for precision, found in result.get("openvino", {}).items():
            large = precision == "bfloat16" and not within_tolerance(found, precision)
            note = "; too large, precision auto takes float32" if large else ""
            log.info(
                "  %s in OpenVINO, %s: largest difference of a probability %.2g, the same class for %.0f%%%s",
                *(name, precision, found["max_difference"], 100 * found["top1_agreement"], note),
            )


def _save(layer: paddle.nn.Layer, config: Config, folder: Path) -> None:
    """Write Paddle's inference files."""
    folder.mkdir()
    shape = [None, *config.Global.image_shape]
    spec = [paddle.static.InputSpec(shape=shape, dtype="float32", name="x")]
    layer.eval()
    static = paddle.jit.to_static(layer, input_spec=spec, full_graph=True)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Tensor do not have 'place' interface")  # of no use to anybody
            with _for_paddle(folder) as writable:
                paddle.jit.save(static, str(writable / description.STEM))
    except (OSError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[-1]
        target = config.Global.save_inference_dir
        raise ExportError(f"{target}: cannot be written (is the disk full?): {reason}") from error


@contextlib.contextmanager
def _for_paddle(folder: Path) -> Iterator[Path]:
    """Give a folder whose files Paddle can write, and move these to ``folder``.

    It writes partly by Python and partly by C++, which name a file of other letters differently in the locale C.
    """
    if str(folder).isascii() or not takes_names_for_ascii():
        yield folder
        return
    with tempfile.TemporaryDirectory() as temporary:
        yield Path(temporary)
        for file in Path(temporary).iterdir():
            shutil.move(file, folder / file.name)


def _digests(folder: Path) -> Dict[str, str]:
    files = [file for file in sorted(folder.iterdir()) if file.suffix not in (".info", ".yml")]
    return {file.name: sha256(file) for file in files}


def _imports(imported: List[Dict[str, Any]]) -> Dict[str, Any]:
    """Return {"imports": records}, or an empty dict where there are none."""
    return {"imports": imported} if imported else {}


def _description(
    config: Config, weights: str, ops: Sequence[TransformOp], recipe_shape: List[int], postprocess: PostProcess
) -> Dict[str, Any]:
    """Return the description of an export, without its files."""
    shape = list(config.Global.image_shape)
    classes = model_classes(config, weights)
    names = postprocess.class_names
    arguments = dict(config.Infer.PostProcess.arguments)
    if postprocess.topk is not None:
        arguments["topk"] = min(postprocess.topk, config.Arch.class_num)
    if names is None:
        get_logger().warning(
            "no class names, neither with the weights nor in the recipe: the export answers class ids only; give "
            "-o Infer.PostProcess.class_id_map_file=FILE"
        )
    return {
        "Global": {"model_name": config.Arch.name, "image_shape": shape},
        "PreProcess": {
            "transform_ops": [dict(op) for op in ops],
            # What must be imported to use the model; the imports under "Model" are only a record.
            **_imports(
                records([*(TRANSFORMS[name_and_arguments(op)[0]].source for op in ops), postprocess_source(config)])
            ),
        },
        "PostProcess": {config.postprocess_name: {**arguments, "label_list": None if names is None else list(names)}},
        "Model": {
            "architecture": {"name": config.Arch.name, "class_num": config.Arch.class_num, **config.Arch.arguments},
            "weights": weights,
            "weights_sha256": sha256(find_file(weights)),
            **({} if classes is None else {"classes": classes.to_json()}),
            **_imports([item.model_dump() for item in config.Global.imported]),
            **({} if shape == recipe_shape else {"image_shape_of_recipe": recipe_shape}),
            "input": description.TENSOR,
            "output": description.OUTPUT,
        },
        "Versions": {"ppcls": ppcls.__version__, "paddle": paddle.__version__},
    }
