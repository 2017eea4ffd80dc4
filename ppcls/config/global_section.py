"""The section ``Global`` of a recipe."""

from __future__ import annotations

from typing import Annotated, Any, List, Literal, Optional, Union

from pydantic import BeforeValidator, Field

from ppcls.config.fields import Int, NotNegative, Positive, Section, Text, WeightsImageSize, WeightsKey
from ppcls.utils.environment import MAX_THREADS


def _as_text(value: Any) -> Any:
    """Return ``2.3``, which YAML reads as a number, as text."""
    return str(value) if isinstance(value, float) else value


class EarlyStoppingSection(Section):
    """End the run when the best metric does not improve."""

    patience: Annotated[Positive, Field(description="Evaluations without improvement before the run ends.")]
    min_delta: Annotated[float, Field(ge=0, description="A change has to be larger than this to count.")] = 0.0


class ImportedSection(Section):
    """A file or module of other people's components that a run was made with."""

    name: Annotated[Text, Field(description="Of the module.")]
    path: Annotated[Optional[Text], Field(description="Of the file; null: a module of a package.")] = None
    sha256: Annotated[Optional[Text], Field(description="Of the file's content.")] = None


class GlobalSection(Section):
    """Settings of the whole run."""

    checkpoints: Annotated[
        Optional[Text],
        Field(description="Prefix of a checkpoint to resume from; auto: the newest of output_dir, if there is one."),
    ] = None
    pretrained_model: Annotated[Optional[Text], Field(description="Weights to start from, evaluate or export.")] = None
    weights_key: WeightsKey = None
    weights_image_size: WeightsImageSize = None
    drop_mismatched_head: Annotated[
        bool, Field(description="Load pretrained_model although its classifier has another class count.")
    ] = False
    allow_unused_classes: Annotated[
        bool, Field(description="Train with more classes (Arch.class_num) than the data name, with a warning.")
    ] = False
    allow_other_preprocessing: Annotated[
        bool,
        Field(
            description="Evaluate, predict and export although images are prepared in another way than in the training "
            "of the weights, with a warning."
        ),
    ] = False
    freeze: Annotated[
        List[Text],
        Field(description="Parts of the model that are not trained, such as stem, stages.0 or stages.*.blocks.0."),
    ] = []
    output_dir: Annotated[Text, Field(description="Folder for logs, curves and checkpoints.")] = "./output"
    output_layout: Annotated[
        Literal["flat", "arch"],
        Field(description="flat: files straight in output_dir; arch: in output_dir/<Arch.name>, as PaddleClas 2.3."),
    ] = "flat"
    device: Annotated[
        Literal["auto", "gpu", "cpu", "xpu", "npu", "mlu", "gcu", "iluvatar_gpu", "intel_gpu", "mps", "dcu"],
        Field(description="auto: a GPU where PaddlePaddle can use one, else the CPU."),
    ] = "auto"
    cpu_threads: Annotated[
        Union[Literal["auto"], Annotated[Int, Field(ge=1, le=MAX_THREADS)]],
        Field(
            description="CPU threads of the model; auto: OMP_NUM_THREADS if it is set, else all cores, or one thread "
            "where training a small model was measured to be faster with it."
        ),
    ] = "auto"
    save_interval: Annotated[
        Int, Field(ge=-1, description="Epochs between epoch_N checkpoints; 0 (or -1, as in PaddleClas): none.")
    ] = 1
    keep_checkpoints: Annotated[
        Optional[Positive], Field(description="How many of the last epoch_N checkpoints to keep; null: all.")
    ] = 3
    save_every_minutes: Annotated[
        Optional[float], Field(ge=0, description="Also save `latest` inside an epoch, this often; null: never.")
    ] = 10.0
    save_every_steps: Annotated[
        Optional[Positive],
        Field(description="Also save `latest` inside an epoch, after this many updates; null: never."),
    ] = None
    eval_during_train: Annotated[bool, Field(description="Evaluate during training.")] = True
    eval_interval: Annotated[
        Positive, Field(description="Epochs between evaluations; the last epoch is always evaluated.")
    ] = 1
    start_eval_epoch: Annotated[NotNegative, Field(description="No evaluation before this epoch.")] = 0
    best_metric: Annotated[
        Optional[Text],
        Field(description="Chooses best_model: a metric or loss of the evaluation; null: the first of Metric.Eval."),
    ] = None
    early_stopping: Annotated[
        Optional[EarlyStoppingSection], Field(description="End the run when the best metric does not improve.")
    ] = None
    epochs: Annotated[Optional[Positive], Field(description="Epochs to train; training needs it.")] = None
    print_batch_step: Annotated[Positive, Field(description="Batches between log lines.")] = 10
    log_format: Annotated[
        Literal["2.4", "2.3"],
        BeforeValidator(_as_text),
        Field(description="Log lines of training as PaddleClas prints them since 2.4, or up to 2.3."),
    ] = "2.4"
    train_mode: Annotated[
        Optional[Literal["progressive"]],
        Field(
            description="progressive: progress_size and progress_magnitude of transforms change in stages, "
            "equal parts of all epochs; null: they may not be given."
        ),
    ] = None
    use_visualdl: Annotated[bool, Field(description="Write VisualDL curves to output_dir/vdl.")] = False
    report: Annotated[
        bool, Field(description="Write report.html, and refresh it while training; see docs/report.md.")
    ] = True
    image_shape: Annotated[
        List[Positive], Field(min_length=3, max_length=3, description="Input of the exported model: [C, H, W].")
    ] = [3, 224, 224]
    save_inference_dir: Annotated[Text, Field(description="Folder of the exported model.")] = "./inference"
    to_static: Annotated[bool, Field(description="Train on a static graph; slower to start, no faster on a CPU.")] = (
        False
    )
    seed: Annotated[
        NotNegative, Field(lt=2**31, description="Of initial weights, the order of images, and all that is random.")
    ] = 0
    update_freq: Annotated[Positive, Field(description="Batches whose gradients make one update.")] = 1
    use_multilabel: Annotated[
        bool, Field(description="An image may have any number of classes; data, losses and answers must be for that.")
    ] = False
    eval_mode: Annotated[Literal["classification"], Field(description="For recipes of PaddleClas, which have it.")] = (
        "classification"
    )
    check_files: Annotated[
        Literal["all", "first"],
        Field(
            description="Look for all images before work starts, or, for slow network drives, only for the first "
            "hundred of a list."
        ),
    ] = "all"
    imports: Annotated[
        List[Text],
        Field(description="Files (relative to this one) or modules that register components of your own."),
    ] = []
    imported: Annotated[
        List[ImportedSection],
        Field(
            description="Written by runs: the files that their components come from. Nothing is imported because of it."
        ),
    ] = []
    log_ranks: Annotated[Text, Field(description="Comma-separated ranks that print to the console.")] = "0"
