"""Convert Paddle inference files to ONNX, and change ONNX models."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, List, Mapping, Set, Tuple

import numpy as np
import paddle

from ppcls.data.transforms.tensor import NormalizeImage
from ppcls.errors import ExportError, MachineError
from ppcls.exporting import target_dir
from ppcls.inference import onnx_file
from ppcls.utils import json_text
from ppcls.utils.extras import install_command

_INPUT, _OUTPUT, _PIXELS, _BATCH = "images", "probabilities", "pixels", "batch"
_NEEDED = ("onnx", "onnxruntime", "paddle2onnx")
# paddle2onnx prints on standard output and, about some models, ends the process that it runs in. Its own optimization
# tools are left out: they install packages.
_CONVERT = """
import sys, inspect, paddle2onnx
known = inspect.signature(paddle2onnx.export).parameters
options = {"opset_version": int(sys.argv[4]), "auto_upgrade_opset": False, "optimize_tool": "none"}
paddle2onnx.export(*sys.argv[1:4], **{name: value for name, value in options.items() if name in known})
"""
_MAX_PROTOBUF_BYTES = 2**31


def require(int8: bool) -> None:
    """Raise a MachineError unless everything is installed that an ONNX export needs."""
    for package in (*_NEEDED, *(["ml_dtypes"] if int8 else [])):
        try:
            importlib.import_module(package)
        except ImportError:
            how = install_command("onnx")
            if package == "paddle2onnx" and sys.version_info >= (3, 12):
                how = "pip install --no-deps paddle2onnx==2.1.0, on Python 3.12 or earlier (docs/export.md)"
            raise MachineError(f"ONNX needs {package}, which is not installed: {how}") from None
    converter = importlib.metadata.version("paddle2onnx")
    if paddle.__version__.startswith("2.") and not converter.startswith("1."):
        raise MachineError(
            f"paddle2onnx {converter} converts what PaddlePaddle 3 writes, and this is {paddle.__version__}: "
            f"pip install paddle2onnx==1.3.1"
        )


def convert(model: Path, parameters: Path, target: Path, opset: int) -> Any:
    """Convert Paddle inference files to an ONNX model with a free batch axis, checked by ``onnx``.

    Args:
        target: a file for the converter's result; removed afterwards.

    Raises:
        ExportError: the converter cannot, or what it wrote is not a valid model.
    """
    import onnx
    from google.protobuf.message import DecodeError

    arguments = [sys.executable, "-c", _CONVERT, str(model), str(parameters), str(target), str(opset)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode or not target.is_file():
        output = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        for number in target_dir.DISK_FULL_ERRNOS:
            if output and os.strerror(number) in output[-1]:
                raise OSError(number, os.strerror(number))
        raise ExportError(
            f"paddle2onnx could not convert the model to opset {opset} (exit code {done.returncode}); it says:\n  "
            + "\n  ".join(output[-5:])
        )
    try:
        graph = onnx.load(str(target))
    except DecodeError as error:
        raise ExportError(f"paddle2onnx did not write an ONNX model ({error}); nothing was exported") from None
    target.unlink()
    written = next(entry.version for entry in graph.opset_import if entry.domain in ("", "ai.onnx"))
    if written != opset:
        raise ExportError(f"paddle2onnx wrote opset {written} instead of {opset}; choose --opset {written}")
    _repair_expansions(graph.graph)
    _canonicalize(graph)
    _check(graph)
    return graph


def _check(model: Any) -> None:
    import onnx

    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"the ONNX model is not valid: {error}") from None


def _repair_expansions(graph: Any) -> None:
    """Replace Paddle's -1 in Expand shapes by ONNX's 1 (CycleMLP has some)."""
    from onnx import numpy_helper

    constants = {constant.name: constant for constant in graph.initializer}
    constants.update((node.output[0], node.attribute[0].t) for node in graph.node if node.op_type == "Constant")
    for node in graph.node:
        if node.op_type != "Expand" or node.input[1] not in constants:
            continue
        shape = numpy_helper.to_array(constants[node.input[1]])
        if shape.min() < 0:
            node.input[1] = f"{node.name}.shape"
            graph.initializer.append(numpy_helper.from_array(np.maximum(shape, 1), node.input[1]))


def _canonicalize(model: Any) -> None:
    """Name the input, the output and the batch axis; drop unused nodes and constants."""
    graph = model.graph
    names = {graph.input[0].name: _INPUT, graph.output[0].name: _OUTPUT}
    for node in graph.node:
        for ends in (node.input, node.output):
            for index, name in enumerate(ends):
                ends[index] = names.get(name, name)
    for value in (graph.input[0], graph.output[0]):
        value.name = names[value.name]
        value.type.tensor_type.shape.dim[0].dim_param = _BATCH
    used = _drop_unused_nodes(graph)
    needed = [constant for constant in graph.initializer if constant.name in used]
    del graph.initializer[:]
    graph.initializer.extend(needed)
    del graph.value_info[:]  # they have another name for the batch axis; shape inference makes them anew


def _drop_unused_nodes(graph: Any) -> Set[str]:
    """Drop nodes whose outputs are unused (paddle2onnx leaves constants behind); return the names that are used."""
    used, needed = {value.name for value in graph.output}, []
    for node in reversed(graph.node):  # sorted: consumers stand behind producers
        if used.intersection(node.output):
            used.update(node.input)
            needed.append(node)
    del graph.node[:]
    graph.node.extend(reversed(needed))
    return used


def _copy(model: Any) -> Any:
    copied = type(model)()
    copied.CopyFrom(model)
    return copied


def add_preprocessing(model: Any, normalization: NormalizeImage) -> Any:
    """Return a model that takes pixels [B, H, W, C] uint8, and normalizes and transposes them itself."""
    from onnx import TensorProto, helper, numpy_helper

    extended = _copy(model)
    graph = extended.graph
    _, channels, height, width = (dim.dim_value for dim in graph.input[0].type.tensor_type.shape.dim)
    scale, mean, std = normalization.constants()
    factor = np.array([scale / s for s in std], np.float32)
    offset = np.array([m / s for m, s in zip(mean, std)], np.float32)
    nodes = [
        helper.make_node("Cast", [_PIXELS], ["pixels_float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["pixels_float", "pixels_factor"], ["pixels_scaled"]),
        helper.make_node("Sub", ["pixels_scaled", "pixels_offset"], ["pixels_normalized"]),
        helper.make_node("Transpose", ["pixels_normalized"], [_INPUT], perm=[0, 3, 1, 2]),
    ]
    model_nodes = list(graph.node)
    del graph.node[:], graph.input[:]
    graph.node.extend([*nodes, *model_nodes])
    graph.initializer.extend(
        [numpy_helper.from_array(factor, "pixels_factor"), numpy_helper.from_array(offset, "pixels_offset")]
    )
    shape = [_BATCH, height, width, channels]
    graph.input.append(helper.make_tensor_value_info(_PIXELS, TensorProto.UINT8, shape))
    _check(extended)
    return extended


def to_float16(model: Any) -> Any:
    """Return the model with weights and arithmetic in float16; input and output stay float32."""
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    converted = convert_float_to_float16(_copy(model), keep_io_types=True)
    OnnxModel(converted).topological_sort()  # the converter appends the casts of the input
    _check(converted)
    return converted


def write(model: Any, path: Path, description: Mapping[str, Any]) -> None:
    """Write a model; its metadata hold its description and a digest of the whole file.

    Raises:
        ExportError: it is too large for one file.
    """
    if model.ByteSize() >= _MAX_PROTOBUF_BYTES:
        raise ExportError(f"{path.name}: {model.ByteSize() / 1e9:.1f} GB are more than an ONNX file can hold")
    del model.metadata_props[:]
    entries: List[Tuple[str, str]] = [
        (onnx_file.DESCRIPTION, json_text.dumps(description, ensure_ascii=False)),
        (onnx_file.DIGEST, onnx_file.BLANK),
    ]
    for key, value in entries:
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    data = model.SerializeToString()
    start = data.rfind(onnx_file.BLANK.encode())
    digest = hashlib.sha256(data).hexdigest().encode()
    path.write_bytes(data[:start] + digest + data[start + len(digest) :])
