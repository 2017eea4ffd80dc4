"""The ONNX models of an export, each compared with the checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Mapping, Sequence

from ppcls.config.schema import Config
from ppcls.data.transforms import TransformOp
from ppcls.errors import ConfigError, ExportError
from ppcls.exporting import evaluation, images, int8, onnx
from ppcls.exporting.comparison import Expected, compare, compare_in_openvino
from ppcls.exporting.options import Options
from ppcls.inference import description

_CALIBRATION_ADVICE = "calibrate on others: --calibration FOLDER"
_SUFFIXES = {"float32": "", "float16": "_fp16", "int8": "_int8"}


def check(config: Config, options: Options, ops: Sequence[TransformOp]) -> None:
    """Check before the conversion what would fail after it.

    Args:
        ops: the preprocessing.

    Raises:
        ConfigError: there is no evaluation set to measure a quantized model on, or it is a multi-label model.
        ExportError: the preprocessing cannot become a part of the model.
        MachineError: a package is missing.
    """
    if options.any_onnx:
        onnx.require(options.int8)
    if options.self_contained:
        images.split_normalization(ops)
    if options.int8 and config.Global.use_multilabel:
        raise ConfigError("the int8 check compares top-1 accuracy, which multi-label models do not have; leave it out")
    if options.int8 and config.DataLoader.Eval is None:
        raise ConfigError("int8 needs DataLoader.Eval, on which the accuracy before and after is measured")


def add(
    config: Config, options: Options, folder: Path, values: Mapping[str, Any], expected: Expected
) -> Dict[str, Dict[str, Any]]:
    """Write the ONNX models of ``options`` beside Paddle's files; return the result of each file's comparison.

    Args:
        values: the description of Paddle's files.

    Raises:
        ExportError: a model cannot be converted, or answers differently.
    """
    paddle_files = description.read(folder).paddle_files
    assert paddle_files is not None
    model, parameters = paddle_files
    plain = onnx.convert(folder / model, folder / parameters, folder / "converted.onnx", options.opset)
    models = {"float32": plain}
    if options.fp16:
        models["float16"] = onnx.to_float16(plain)
    if options.int8:
        sources = int8.calibration_sources(config, options.calibration, options.calibration_images)
        models["int8"] = int8.quantize(plain, images.preprocess(config, sources, expected.ops, _CALIBRATION_ADVICE))
    results: Dict[str, Dict[str, Any]] = {}
    for precision, graph in models.items():
        path = folder / f"{description.STEM}{_SUFFIXES[precision]}.onnx"
        onnx.write(graph, path, _description(values, precision, options.opset))
        results[path.name] = _compare(expected, path)
        if options.self_contained:
            pixels = path.with_name(f"{path.stem}_self_contained.onnx")
            ops, normalization = images.split_normalization(expected.ops)
            pixel_description = _description(values, precision, options.opset)
            pixel_description["PreProcess"] = {"transform_ops": ops}
            pixel_description["Model"]["input"] = description.PIXELS
            onnx.write(onnx.add_preprocessing(graph, normalization), pixels, pixel_description)
            results[pixels.name] = _compare(expected, pixels)
    if options.int8:
        calibration = int8.summary(sources, options.calibration)
        quantized = [name for name in results if name.startswith(f"{description.STEM}{_SUFFIXES['int8']}")]
        for name, accuracy in _accuracies(config, folder, quantized, options.max_drop).items():
            results[name].update(accuracy, calibration=calibration)
    return results


def _compare(expected: Expected, path: Path) -> Dict[str, Any]:
    """Return the result of the comparison in ONNX Runtime and, under "openvino", those in OpenVINO if there are any."""
    result = compare(expected, path, "onnx")
    in_openvino = compare_in_openvino(expected, path)
    return {**result, "openvino": in_openvino} if in_openvino else result


def _description(values: Mapping[str, Any], precision: str, opset: int) -> Dict[str, Any]:
    model = {key: value for key, value in values["Model"].items() if key != "files"}
    return {**values, "Model": {**model, "precision": precision, "opset": opset}}


def _accuracies(config: Config, folder: Path, names: Sequence[str], max_drop: float) -> Dict[str, Dict[str, Any]]:
    """Return the top-1 accuracy on ``DataLoader.Eval`` before and after quantization, by file.

    Raises:
        ExportError: it fell by more than ``max_drop``.
    """
    before, count = evaluation.accuracy(config, folder / description.ONNX, "onnx")
    accuracies = {}
    for name in names:
        after, _ = evaluation.accuracy(config, folder / name, "onnx")
        accuracy = {"before": before, "after": after}
        if before - after > max_drop:
            raise ExportError(
                f"{name}: {int8.accuracy_change_text(accuracy, count)}: falls by more than --max-drop {max_drop:g}. "
                "Nothing was exported, neither int8 nor the other files of this command; an earlier export still "
                "stands. Calibrate on more images, or on images of the kind that the model will see; allow more with "
                "--max-drop; or leave --int8 out"
            )
        accuracies[name] = {"top1": accuracy, "top1_images": count}
    return accuracies
