"""Quantization of an ONNX model to int8, calibrated on real images."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy as np

from ppcls.config.schema import Config
from ppcls.data import build_dataset
from ppcls.errors import ConfigError
from ppcls.exporting import images
from ppcls.inference.inputs import Source, collect
from ppcls.utils.logging import get_logger

_BATCH = 8
_WARNINGS, _ERRORS = 2, 3  # of ONNX Runtime's log levels; the first is its default
# Matrix products take most of the time. Everything else stays in float32, and so exact.
_QUANTIZED_OPS = ["Conv", "MatMul", "Gemm"]


def calibration_sources(config: Config, folder: Optional[str], count: int) -> List[Source]:
    """Return the images to calibrate on, spread evenly over a folder, else over the recipe's training set.

    Raises:
        ConfigError: there is neither.
        DataError: an image, or the folder, does not exist.
    """
    if folder is not None:
        available = collect(folder)
        sources = [available[index] for index in images.spread(len(available), count)]
    elif config.DataLoader.Train is not None:
        dataset = build_dataset(config.DataLoader.Train.dataset.model_dump(), train=True)
        sources = images.of_dataset(dataset, count)
    else:
        raise ConfigError("int8 needs images to be calibrated on: give --calibration FOLDER or DataLoader.Train")
    if len(sources) < count:
        get_logger().warning("int8: calibrated on %d images, not %d: there are no more", len(sources), count)
    return sources


class _Reader:
    """Gives the calibrator batches until there are no more."""

    def __init__(self, tensors: np.ndarray, name: str) -> None:
        batches = (tensors[start : start + _BATCH] for start in range(0, len(tensors), _BATCH))
        self._feeds = iter([{name: batch} for batch in batches])

    def get_next(self) -> Optional[Dict[str, np.ndarray]]:
        """Return the next input of the model, None after the last one."""
        return next(self._feeds, None)


def quantize(model: Any, tensors: np.ndarray) -> Any:
    """Return the model with 8-bit weights (one scale per channel) and activations (ranges seen on ``tensors``).

    Args:
        tensors: images ready for the model, [N, C, H, W] float32.
    """
    import onnx
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    CalibrationDataReader.register(_Reader)
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.ERROR)  # it recommends the preparation that is done here
    onnxruntime.set_default_logger_severity(_ERRORS)
    try:
        with tempfile.TemporaryDirectory() as temporary:
            original, prepared, result = (
                Path(temporary) / f"{name}.onnx" for name in ("original", "prepared", "result")
            )
            onnx.save(model, str(original))
            quant_pre_process(str(original), str(prepared), skip_symbolic_shape=True)
            quantize_static(
                str(prepared),
                str(result),
                _Reader(tensors, model.graph.input[0].name),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                op_types_to_quantize=_QUANTIZED_OPS,
            )
            quantized = onnx.load(str(result))
    finally:
        logging.getLogger().setLevel(level)
        onnxruntime.set_default_logger_severity(_WARNINGS)
    # ONNX Runtime lists every operator set that it knows.
    used = {node.domain for node in quantized.graph.node}
    imports = [entry for entry in quantized.opset_import if entry.domain in used]
    del quantized.opset_import[:]
    quantized.opset_import.extend(imports)
    return quantized


def accuracy_change_text(accuracy: Mapping[str, float], images_count: int) -> str:
    """Return "top1 0.9945 -> 0.9918 on 364 images"."""
    return f"top1 {accuracy['before']:.4f} -> {accuracy['after']:.4f} on {images_count} images"


def summary(sources: Sequence[Source], folder: Optional[str]) -> Dict[str, Any]:
    """Return what the description records about the calibration."""
    return {"images": len(sources), "from": folder or "DataLoader.Train"}
