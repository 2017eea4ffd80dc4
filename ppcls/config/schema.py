"""The sections of a recipe: names, types, defaults and limits (the PaddleClas 2.x names, and ours)."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Any, Dict, List, Literal, Mapping, Optional, Tuple, Union

from pydantic import AfterValidator, Field, PrivateAttr, model_validator

from ppcls.config.amp_section import AMPSection
from ppcls.config.fields import (
    Component,
    ComponentSection,
    NotNegative,
    Positive,
    Section,
    Text,
    WeightsImageSize,
    WeightsKey,
    folder_name,
    model_name,
)
from ppcls.config.global_section import GlobalSection
from ppcls.config.infer_section import InferSection
from ppcls.config.sampler_section import Sampler
from ppcls.errors import ConfigError
from ppcls.registry import suggest

DEFAULT = "default"  # the origin of a value that nobody has set
AUTO = "auto"  # a value of Global.checkpoints
DEFAULT_POSTPROCESS = {False: "Topk", True: "MultiLabelThreshOutput"}  # by Global.use_multilabel


class ArchSection(ComponentSection):
    """The model: a registered name and its constructor's arguments."""

    name: Annotated[Text, Field(description="A registered architecture.")]
    class_num: Annotated[
        Positive,
        Field(description="Left out or null: that of the training data, else of the weights, else 1000."),
    ] = 1000
    pretrained: Annotated[
        Union[bool, Text, None], Field(description="Path of weights to start from; true: the public ones.")
    ] = False
    use_sync_bn: Annotated[
        bool, Field(description="Batch norms see the images of all processes; with several processes, on GPUs only.")
    ] = False


class LossSection(Section):
    """Weighted losses that are added up."""

    Train: Annotated[List[Component], Field(min_length=1, description="What training makes small.")] = [
        {"CELoss": None}
    ]
    Eval: Annotated[List[Component], Field(min_length=1, description="What evaluation reports.")] = [{"CELoss": None}]


class Schedule(ComponentSection):
    """The learning rate over the run."""

    name: Annotated[Text, Field(description="A registered schedule.")]


class ScalingSection(Section):
    """How the learning rate follows the global batch: images of all processes, and of all that are accumulated."""

    rule: Annotated[
        Literal["linear", "sqrt", "none"], Field(description="linear: times batch / base; sqrt: the root of it.")
    ] = "linear"
    base_batch_size: Annotated[Positive, Field(description="The global batch that the recipe's rates are for.")]


class OptimizerSection(ComponentSection):
    """The optimizer and its arguments."""

    name: Annotated[Text, Field(description="A registered optimizer.")]
    lr: Schedule
    lr_scaling: Annotated[
        Optional[ScalingSection],
        Field(description="How the learning rate follows the global batch; null: not at all."),
    ] = None


class Dataset(ComponentSection):
    """Where samples come from and what is done to them."""

    name: Annotated[Text, Field(description="A registered data set.")]
    transform_ops: Annotated[List[Component], Field(description="What is done to each image, in this order.")] = []
    batch_transform_ops: Annotated[
        Optional[List[Component]], Field(description="What is done to each batch, such as mixup.")
    ] = None


class Loader(Section):
    """Worker processes."""

    num_workers: Annotated[
        NotNegative, Field(description="Processes that read, decode and augment images; 0: the main process does it.")
    ] = 4
    use_shared_memory: Annotated[
        bool, Field(description="Workers hand images over in shared memory; false: through pipes.")
    ] = True


class Split(Section):
    """One side of DataLoader."""

    dataset: Dataset
    sampler: Sampler
    loader: Loader = Loader()


class DataLoaderSection(Section):
    """Training and evaluation data."""

    Train: Annotated[Optional[Split], Field(description="The images to learn from.")] = None
    Eval: Annotated[Optional[Split], Field(description="The images to evaluate with.")] = None


class MetricSection(Section):
    """What is measured, and logged."""

    Train: Annotated[
        Optional[List[Component]], Field(description="Over the epoch so far, in the log lines of training; null: none.")
    ] = None
    Eval: Annotated[
        Optional[List[Component]],
        Field(
            min_length=1,
            description="The first one selects best_model unless Global.best_metric does; null: TopkAcc or, with "
            "Global.use_multilabel, MultiLabelMAP.",
        ),
    ] = None


class EMASection(Section):
    """Exponential moving average of the weights; on when the section is there."""

    decay: Annotated[float, Field(gt=0, lt=1, description="What the average keeps of itself at each update.")] = 0.9999
    warmup: Annotated[
        bool, Field(description="Average over fewer updates at first: the decay is at most (1 + n) / (10 + n).")
    ] = True


class TeacherSection(ComponentSection):
    """A trained model: a registered name, its constructor's arguments and its weights."""

    # Must be given; checked below, where one message says so.
    name: Annotated[Text, Field(description="A registered architecture.")] = ""
    pretrained: Annotated[
        Union[bool, Text], Field(description="Path or URL of its weights; true: the public ones.")
    ] = False
    weights_key: WeightsKey = None
    weights_image_size: WeightsImageSize = None


class ModelSection(ComponentSection):
    """A model beside that of Arch: a registered name, its constructor's arguments and its weights."""

    name: Annotated[Text, Field(description="A registered architecture.")]
    pretrained: Annotated[
        Union[bool, Text, None], Field(description="Path or URL of weights to start from; true: the public ones.")
    ] = False
    weights_key: WeightsKey = None
    weights_image_size: WeightsImageSize = None
    frozen: Annotated[bool, Field(description="true: a teacher that is not trained; false: it is trained, too.")] = True


class DistillationSection(Section):
    """Training by the answers of other models, beside the labels. See docs/several_models.md."""

    teacher: Annotated[
        Union[Text, TeacherSection, None], Field(description="As in Arch; or the recipe it was trained by.")
    ] = None
    pretrained: Annotated[
        Optional[Text],
        Field(description="Weights of a teacher that is a recipe; null: best_model in its (last stage's) folder."),
    ] = None
    kind: Annotated[Literal["soft", "hard"], Field(description="The teacher's probabilities, or its decisions.")] = (
        "soft"
    )
    temperature: Annotated[
        Optional[float], Field(gt=0, description="Softens the probabilities of kind: soft; null: 3.")
    ] = None
    alpha: Annotated[float, Field(ge=0, le=1, description="Weight of the teacher; the losses have the rest.")] = 0.5
    models: Annotated[
        Optional[Dict[Annotated[Text, AfterValidator(model_name)], ModelSection]],
        Field(min_length=1, description="Instead of a teacher: other models, which losses of Loss.Train name."),
    ] = None
    student: Annotated[
        Text, AfterValidator(model_name), Field(description="What these losses call the model of Arch.")
    ] = "Student"

    @model_validator(mode="after")
    def _checked(self) -> DistillationSection:
        if (self.teacher is None) == (self.models is None):
            raise ValueError("give either teacher or models" if self.models else "needs a teacher, or models")
        if self.models is not None:
            self._check_models(self.models)
        elif self.student != type(self).model_fields["student"].default:
            raise ValueError("student is for models, which losses name; with a teacher, remove it")
        if isinstance(self.teacher, TeacherSection) and not (self.teacher.name and self.teacher.pretrained):
            raise ValueError("teacher needs a name, as in Arch, and pretrained, the path of its weights")
        if self.pretrained is not None and not isinstance(self.teacher, str):
            raise ValueError("pretrained is for a teacher that is a recipe; write it inside of teacher")
        if self.temperature is not None and self.kind == "hard":
            raise ValueError("temperature does nothing with kind: hard; remove it")
        return self

    def _check_models(self, models: Dict[str, ModelSection]) -> None:
        if self.student in models:
            raise ValueError(f"models: {self.student} is the model of Arch; give the other one another name")
        for key in ("pretrained", "kind", "temperature", "alpha"):
            if getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key} is for a teacher; with models, losses of Loss.Train say what is learned")


class StageSection(Section):
    """One of several trainings in a row: the recipe with changes. See docs/stages.md."""

    name: Annotated[Text, AfterValidator(folder_name), Field(description="Its folder in output_dir.")]
    init: Annotated[
        Optional[Text],
        Field(
            description="Weights to start from: best (the default), latest or ema of the stage before, a path or a "
            "URL. The first stage starts from Global.pretrained_model."
        ),
    ] = None
    override: Annotated[
        Optional[Dict[str, Any]],
        Field(description="Changes of the recipe: dotted keys (Global.epochs: 100) or sections, merged as bases are."),
    ] = None


class Config(Section):
    """A whole recipe."""

    Global: GlobalSection = GlobalSection()
    Arch: ArchSection
    Loss: LossSection = LossSection()
    Optimizer: Optional[OptimizerSection] = None
    DataLoader: DataLoaderSection = DataLoaderSection()
    Infer: InferSection = InferSection()
    Metric: MetricSection = MetricSection()
    AMP: Optional[AMPSection] = None
    EMA: Optional[EMASection] = None
    Distillation: Optional[DistillationSection] = None
    Callbacks: Annotated[
        List[Component], Field(description="Registered callbacks, called around the training loop, in this order.")
    ] = []
    Stages: Annotated[
        Optional[List[StageSection]], Field(min_length=1, description="Trainings in a row, each from the one before.")
    ] = None

    # The recipe of each stage, by name; set when a recipe is loaded.
    _stages: Dict[str, Config] = PrivateAttr(default_factory=dict)
    _training_problems: List[str] = PrivateAttr(default_factory=list)
    # Where each value was written, by path; set when a recipe is loaded.
    _origins: Dict[Tuple[Any, ...], str] = PrivateAttr(default_factory=dict)

    @property
    def postprocess_name(self) -> str:
        """Return which post-processing makes the answers."""
        return self.Infer.PostProcess.name or DEFAULT_POSTPROCESS[self.Global.use_multilabel]

    def plain(self) -> Dict[str, Any]:
        """Return everything, defaults included, as dicts, lists and scalars, to be kept in runs and checkpoints.

        ``Global.imports`` is empty in it, so that nothing is imported because a file says so. ``Global.imported``
        records what has to be imported.
        """
        values = self.model_dump()
        values["Global"]["imports"] = []
        return values

    def with_global(self, **values: Any) -> Config:
        """Return a copy of the recipe with other values in ``Global``.

        Raises:
            ValidationError: ``Global`` has no such key, or the value has the wrong type.
        """
        section = GlobalSection.model_validate({**self.Global.model_dump(), **values})
        return self.model_copy(update={"Global": section})

    @property
    def run_dir(self) -> str:
        """Where the run writes: ``Global.output_dir``, or a folder in it (``Global.output_layout``)."""
        root = self.Global.output_dir
        return str(PurePath(root) / self.Arch.name) if self.Global.output_layout == "arch" else root

    def where(self, *path: Any) -> str:
        """Return "file:line", "-o ..." or "default" for the value at ``path``; for a section, for its first value."""
        inside = (origin for place, origin in self._origins.items() if place[: len(path)] == path)
        return self._origins.get(path) or next(inside, DEFAULT)

    @property
    def training_problems(self) -> List[str]:
        """What is wrong with a loaded recipe for those who train by it, and for nobody else."""
        return self._training_problems

    @property
    def has_class_num(self) -> bool:
        """Whether somebody has set ``Arch.class_num``, or it was derived; else it is only the default."""
        return self.where("Arch", "class_num") != DEFAULT

    def with_class_num(self, class_num: int, origin: str) -> Config:
        """Return a copy of the recipe with another ``Arch.class_num``, which ``where`` says is from ``origin``."""
        copied = self.model_copy(update={"Arch": self.Arch.model_copy(update={"class_num": class_num})})
        copied._origins = {**self._origins, ("Arch", "class_num"): origin}
        return copied

    @property
    def student(self) -> str:
        """Return what losses of several models call the model of ``Arch``."""
        section = self.Distillation
        return section.student if section is not None else str(DistillationSection.model_fields["student"].default)

    @property
    def stages(self) -> Mapping[str, Config]:
        """Return the resolved recipe of each stage, in order; nothing for a recipe without ``Stages``."""
        return dict(self._stages)

    def stage(self, name: str) -> Config:
        """Return the resolved recipe of one stage.

        Raises:
            ConfigError: there is no such stage.
        """
        if not self._stages:
            raise ConfigError(f"stage {name!r}: the recipe has no Stages")
        if name not in self._stages:
            raise ConfigError(f"unknown stage {name!r}{suggest(name, self._stages)}")
        return self._stages[name]
