"""Load predictors from a run, a checkpoint, an export or an ONNX file.

Importing this module imports no Paddle, and neither does loading an ONNX file.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Sequence, Union

from ppcls.errors import ConfigError
from ppcls.inference import description
from ppcls.inference.backends.devices import Device
from ppcls.inference.choices import TTA
from ppcls.inference.inputs import Image
from ppcls.inference.predictor import BasePredictor, Predictor
from ppcls.registry.checks import require_choice, require_int
from ppcls.utils import environment
from ppcls.utils.logging import get_logger
from ppcls.utils.paths import user_path

_EXPORT_BATCH_SIZE = 32
if TYPE_CHECKING:
    import numpy as np
    from paddle import nn

    from ppcls.config.schema import Config

    Recipe = Union[Config, str, Path, Mapping[str, Any]]
    Changes = Union[Sequence[str], Mapping[str, Any]]


def load_predictor(
    path: Union[str, os.PathLike[str]],
    *,
    config: Optional[Recipe] = None,
    changes: Changes = (),
    stage: Optional[str] = None,
    batch_size: Optional[int] = None,
    topk: Optional[int] = None,
    device: Optional[str] = "auto",
    backend: str = "auto",
    threads: Optional[int] = None,
    precision: Optional[str] = None,
    tta: Optional[str] = None,
    model: Optional[nn.Layer] = None,
) -> BasePredictor:
    """Load a trained model as a predictor, with the methods of ``ppcls.Predictor``.

    Args:
        path: the folder of a run (with its best weights), a checkpoint (PREFIX or PREFIX.pdparams), the folder of an
            exported model, or an .onnx file.
        config: the recipe, for weights that come without one, or to use another one.
        changes: changes of the recipe, ``["Infer.PostProcess.topk=3"]`` or ``{"Infer.PostProcess.topk": 3}``.
        stage: the stage of a run with stages; None takes the last one that has been trained.
        batch_size: images that go through the model together; None takes the recipe's, or 32 for an export.
        topk: classes in an answer, or all where there are fewer; None takes the recipe's.
        device: "cpu", "gpu" or, for exports, "gpu:1"; "auto" for a GPU where one can be used, else the CPU; None for
            the device in the recipe.
        backend: the runtime of an export, "paddle", "onnx" or "openvino"; "auto" takes the fastest that the export and
            this machine have.
        threads: CPU threads of an export; None for OMP_NUM_THREADS, by default all cores.
        precision: of an export: "float32", "bfloat16" or "auto", see ``ppcls.Predictor``; None for the exported one.
        tta: test-time augmentation, "none", "flip" or "crops", see ``ppcls.Predictor``; None takes the recipe's, and
            "none" for an export.
        model: the model to load the weights into, for a run whose model was given in Python.

    Raises:
        ConfigError, CheckpointError, DataError, WeightsError, MachineError: as their messages say.
    """
    for name, count in (("batch_size", batch_size), ("topk", topk)):
        if count is not None:
            require_int(name, count, 1)
    resolved = user_path(path)
    recipe_options: Dict[str, Any] = {"config": config, "changes": changes or None, "stage": stage, "model": model}
    if description.is_export(resolved):
        refuse_for_export(path, recipe_options)
        predictor = Predictor(
            path,
            backend=backend,
            threads=threads,
            topk=topk,
            device="auto" if device is None else device,
            batch_size=_EXPORT_BATCH_SIZE if batch_size is None else batch_size,
            precision=precision,
            tta=tta or "none",
        )
        get_logger().info("%s, by the backend %s", predictor.description.name, predictor.backend_label)
        return predictor
    if backend != "auto":
        raise ConfigError(f"backend {backend}: {path} is not an exported model, and runs in Paddle; export it first")
    if precision is not None:
        raise ConfigError(
            f"precision {precision}: {path} is not an exported model, and runs in float32; export it first"
        )
    if threads is not None:
        raise ConfigError(f"threads: {path} is not an exported model; set {environment.THREADS} before ppcls is used")
    environment.import_paddle()
    from ppcls.engine.predictor import CheckpointPredictor

    settings = _settings(changes, device, path)
    if tta is not None:
        require_choice("tta", tta, TTA)
        settings.append(("Infer.tta", tta))
    return CheckpointPredictor(_recipe(resolved, config, settings, stage), batch_size, topk, model)


def refuse_for_export(path: Union[str, os.PathLike[str]], options: Mapping[str, Any]) -> None:
    """Refuse options that do not apply to exported models.

    Args:
        options: values by the names that the user knows, None for options that are not used.

    Raises:
        ConfigError: an option is used.
    """
    for name, value in options.items():
        if value is not None:
            raise ConfigError(f"{name}: {path} is an exported model, which has its recipe in it; leave {name} out")


def _settings(changes: Changes, device: Optional[str], path: Any) -> List[Any]:
    """Return the changes of a checkpoint's recipe, with the device among them.

    Raises:
        ConfigError: there is no such device, or it is given twice.
    """
    from ppcls.config.overrides import as_list

    settings = as_list(changes)
    if device is None:
        return settings
    parsed = Device.parse(device)
    if parsed.index:
        raise ConfigError(
            f"device {device}: {path} is not an exported model, and runs on the first GPU that CUDA_VISIBLE_DEVICES "
            f"leaves: set that, and take the device gpu"
        )
    keys = [change.partition("=")[0].strip() if isinstance(change, str) else change[0] for change in settings]
    if "Global.device" not in keys:
        return [*settings, ("Global.device", parsed.kind)]
    if parsed.kind != "auto":
        raise ConfigError(f"device {device}: a change of Global.device says the same thing; leave one of them out")
    return settings


def _recipe(path: Path, config: Optional[Recipe], changes: List[Any], stage: Optional[str]) -> Config:
    """Return the recipe for the weights at ``path``."""
    from ppcls.engine import load_config, stages
    from ppcls.engine.checkpointing import run_dir

    if config is None:
        return run_dir.load_recipe_of_checkpoint(run_dir.find_checkpoint(path, stage), changes)
    weights = run_dir.best_checkpoint(path, stage) if path.is_dir() else path
    weight_settings: List[Any] = [("Global.pretrained_model", str(weights)), ("Global.checkpoints", None)]
    return stages.evaluation_recipe(load_config(config, [*changes, *weight_settings]), stage)


def embed(
    run: Union[str, os.PathLike[str], BasePredictor],
    images: Union[Image, Sequence[Image]],
    *,
    config: Optional[Recipe] = None,
    changes: Changes = (),
    stage: Optional[str] = None,
    batch_size: Optional[int] = None,
    device: Optional[str] = "auto",
    model: Optional[nn.Layer] = None,
) -> np.ndarray:
    """Return the features of images, [N, num_features] float32: the input of a trained model's classifier.

    The row of an image that cannot be read is NaN, and the log says why.

    Args:
        run: the folder of a run or a checkpoint, as for ``load_predictor``, or a predictor.
        images: as for ``predict``; one row per image, in order.
        config, changes, stage, batch_size, device, model: as for ``load_predictor``.

    Raises:
        ConfigError: the model gives no features, as exported models do not.
        CheckpointError, DataError, WeightsError, MachineError: as their messages say.
    """
    if isinstance(run, BasePredictor):
        loading_options = {
            "config": config,
            "changes": changes,
            "stage": stage,
            "batch_size": batch_size,
            "model": model,
        }
        for name, value in loading_options.items():
            if value not in (None, ()):
                raise ConfigError(f"{name}: the predictor is loaded already; give {name} to ppcls.load_predictor")
        return run.embed(images)
    predictor = load_predictor(
        run, config=config, changes=changes, stage=stage, batch_size=batch_size, device=device, model=model
    )
    return predictor.embed(images)
