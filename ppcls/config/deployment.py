"""The recipe of ``deploy/python/predict_cls.py``: the keys of PaddleClas's ``deploy/configs/inference_cls.yaml``."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any, Dict, List, Optional

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from ppcls.config import inherit, overrides
from ppcls.config.fields import Component, Positive, Section, Text
from ppcls.config.overrides import Changes
from ppcls.config.problems import format_problem, from_validation, raise_all
from ppcls.config.tree import Node, descend, plain
from ppcls.errors import ConfigError

_DEVICE = "exported models run on processors and NVIDIA GPUs"
# The only accepted value of each switch, and why.
_FIXED = {
    "use_npu": (False, _DEVICE),
    "use_xpu": (False, _DEVICE),
    "use_mlu": (False, _DEVICE),
    "use_fp16": (False, "export the model with --fp16, and use that file"),
    "use_int8": (False, "export the model with --int8, and use that file"),
    "use_tensorrt": (False, "deploy/README.md says how to use TensorRT"),
    "enable_profile": (False, "measure with a profiler of the operating system"),
    "benchmark": (False, "benchmarks/ has measurements of exported models"),
}


# Switches that change the speed alone, and why they cannot be turned off.
_ALWAYS_ON = {
    "enable_mkldnn": "Paddle 3 always uses oneDNN on processors",
    "ir_optim": "the runtimes always optimize the graph",
}


class DeploymentGlobal(Section):
    """What is predicted, by which model and where."""

    infer_imgs: Annotated[Text, Field(description="An image, a folder, a pattern or an address.")]
    inference_model_dir: Annotated[Text, Field(description="The exported model.")] = "./inference"
    batch_size: Positive = 1
    use_gpu: bool = False
    cpu_num_threads: Annotated[Optional[Positive], Field(description="null: all cores.")] = None
    use_onnx: Annotated[
        Optional[bool], Field(description="The runtime: ONNX Runtime, Paddle, or (null) what there is.")
    ] = None
    use_npu: bool = False
    use_xpu: bool = False
    use_mlu: bool = False
    use_fp16: bool = False
    use_int8: bool = False
    use_tensorrt: bool = False
    enable_mkldnn: bool = True
    ir_optim: bool = True
    enable_profile: bool = False
    benchmark: bool = False
    enable_benchmark: Annotated[bool, Field(description="No effect, here and in PaddleClas's predict_cls.py.")] = False
    gpu_mem: Annotated[Positive, Field(description="No effect: the GPU's memory pool grows as needed.")] = 8000

    @field_validator(*_FIXED)
    @classmethod
    def _check_fixed(cls, value: bool, info: ValidationInfo) -> bool:
        allowed, reason = _FIXED[str(info.field_name)]
        if value is not allowed:
            raise ValueError(f"{str(value).lower()} is not available: {reason}")
        return value


class DeploymentPreProcess(Section):
    """Compared with what the export has in it, which is used."""

    transform_ops: List[Component]


class SavePreLabelSection(Section):
    """A folder that gets a copy of each image, sorted into subfolders by predicted class id."""

    save_dir: Text


class DeploymentPostProcess(BaseModel):
    """How probabilities become an answer: one post-processing, which is named by a further key."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, allow_inf_nan=False)

    main_indicator: Annotated[Optional[Text], Field(description="The name of the post-processing.")] = None
    SavePreLabel: Optional[SavePreLabelSection] = None

    @property
    def components(self) -> Dict[str, Any]:
        """Return the arguments of the post-processing by its name; empty if there is none, or it is null."""
        return {name: value for name, value in (self.__pydantic_extra__ or {}).items() if value is not None}

    @model_validator(mode="after")
    def _checked(self) -> DeploymentPostProcess:
        names = list(self.components)
        if len(names) > 1:
            raise ValueError(f"one post-processing expected, not {' and '.join(names)}")
        if self.main_indicator is not None and self.main_indicator not in (self.__pydantic_extra__ or {}):
            listed = f" ({', '.join(names)})" if names else "; remove it"
            raise ValueError(f"main_indicator names {self.main_indicator}, which is not there{listed}")
        for name, arguments in self.components.items():
            if not isinstance(arguments, dict):
                raise ValueError(f"the arguments of {name} must be a mapping")
        return self


class Deployment(Section):
    """A whole recipe of ``predict_cls.py``."""

    Global: DeploymentGlobal
    PreProcess: Optional[DeploymentPreProcess] = None
    PostProcess: DeploymentPostProcess = DeploymentPostProcess()

    _tree: Node = PrivateAttr()

    def locate(self, *path: str) -> str:
        """Return "file:line: A.b", or "-o ...: A.b", for messages about the value at a path, or what is next to it."""
        node, reached = descend(self._tree, path)
        return f"{node.origin}: {'.'.join(path)}" if reached else ".".join(path)


def load_deployment(file: Path, changes: Changes = ()) -> Deployment:
    """Load the recipe.

    Raises:
        ConfigError: every mistake at once, each with file and line or the override it came from.
    """
    if not file.is_file():
        raise ConfigError(f"-c {file}: no such file")
    tree, messages = overrides.apply(inherit.read(file), changes)
    deployment = None
    try:
        deployment = Deployment.model_validate({key: value for key, value in plain(tree).items() if value is not None})
    except ValidationError as error:
        messages += [format_problem(problem, tree) for problem in from_validation(error, Deployment, tree)]
    raise_all(messages, str(file))
    assert deployment is not None
    deployment._tree = tree
    for key, reason in _ALWAYS_ON.items():
        if not getattr(deployment.Global, key):
            logging.getLogger(__name__).warning("%s: false has no effect: %s", deployment.locate("Global", key), reason)
    return deployment
