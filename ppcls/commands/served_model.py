"""The export that ``ppcls serve`` opens: that of a run or a checkpoint is made if need be."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path
from typing import Any, Dict, Iterator, Optional

from ppcls.commands.command import exit_on_sigterm
from ppcls.errors import DataError, ExportError, MachineError
from ppcls.utils.paths import add_suffix

_WEIGHTS = ".pdparams"


def is_trained(path: Path) -> bool:
    """Return whether a path is a run's folder, perhaps with stages, or a checkpoint; it imports no Paddle."""
    from ppcls.inference import description

    if description.is_export(path):
        return False
    if path.is_dir():
        return any(next(path.glob(pattern), None) for pattern in ("*.pdstates", "*/*.pdstates"))
    return path.name.endswith(_WEIGHTS) or add_suffix(path, _WEIGHTS).is_file()


def export_of(path: Path, backend: str) -> Path:
    """Return the folder of the export of a run or checkpoint; it is written if it is missing or of other weights.

    Args:
        backend: that of the server; ONNX Runtime and OpenVINO need an ONNX model.

    Raises:
        CheckpointError, ConfigError, ExportError, MachineError, WeightsError: as their messages say.
    """
    from ppcls.engine.checkpointing import run_dir
    from ppcls.exporting import Options, export
    from ppcls.utils.logging import get_logger

    prefix = run_dir.find_checkpoint(path)
    target = prefix.parent / run_dir.EXPORT
    reason = _why_not(target, prefix, needs_onnx=backend in ("onnx", "openvino"))
    if reason is None:
        get_logger().info("serving %s, the export of %s", target, prefix)
        return target
    options = _options_of(path, target)
    options["onnx"] = options.get("onnx", False) or backend in ("onnx", "openvino")
    get_logger().info("exporting %s to %s first: %s", prefix, target, reason)
    try:
        export(run_dir.load_recipe(prefix), Options(**options))
    except (ExportError, MachineError) as error:
        raise type(error)(
            f"{error}\na run is exported before it is served; to export it elsewhere: ppcls export {path} -o "
            f"Global.save_inference_dir=FOLDER, then ppcls serve FOLDER"
        ) from error.__cause__
    return target


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the block by an exception, so that it can remove what is half written."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with exit_on_sigterm():
            yield
    finally:
        signal.signal(signal.SIGINT, before)


def _why_not(target: Path, prefix: Path, needs_onnx: bool) -> Optional[str]:
    """Return why the export in ``target`` is not the one to serve, None if it is."""
    from ppcls.inference import description
    from ppcls.utils.digests import sha256

    if not (target / description.FILE).is_file():
        return "it has not been exported"
    try:
        described = description.read(target)
    except DataError as error:
        return f"the export there is damaged ({error})"
    if described.values["Model"].get("weights_sha256") != sha256(add_suffix(prefix, _WEIGHTS)):
        return "the export there was made from other weights"
    return "the export there has no ONNX model" if needs_onnx and described.onnx_file is None else None


def _options_of(path: Path, target: Path) -> Dict[str, Any]:
    """Return the options to write an export with the models that an earlier one has.

    Raises:
        ExportError: it has one whose accuracy has to be measured again, or that this machine may not write.
    """
    from ppcls.inference import description, examples

    try:
        described = description.read(target)
    except DataError:  # there is none, or it is damaged
        return {}
    names = [name for name in described.files if name.endswith(".onnx")]
    if described.precision == "bfloat16" or any("_int8" in name for name in names):
        kind = "bf16" if described.precision == "bfloat16" else "int8"
        raise ExportError(
            f"{target}: was exported from other weights than those of {path} now, with --{kind}; export it again: "
            f"ppcls export {path} --{kind}; or serve it as it is: ppcls serve {target}"
        )
    options: Dict[str, Any] = {
        "onnx": bool(names),
        "fp16": any("_fp16" in name for name in names),
        "self_contained": any("_self_contained" in name for name in names),
        "examples": len(described.values.get(examples.KEY, ())),
    }
    if "image_shape_of_recipe" in described.values["Model"]:
        options["image_size"] = tuple(described.image_shape[1:])
    return options
