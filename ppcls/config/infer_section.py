"""The section ``Infer`` of a recipe."""

from __future__ import annotations

from typing import Annotated, List, Literal, Optional

from pydantic import Field

from ppcls.config.fields import Component, ComponentSection, Positive, Section, Text


class PostProcessSection(ComponentSection):
    """How probabilities become an answer: a registered name and its arguments."""

    name: Annotated[
        Optional[Text],
        Field(description="null: Topk or, with Global.use_multilabel, MultiLabelThreshOutput."),
    ] = None
    class_id_map_file: Annotated[
        Optional[Text], Field(description="A file of lines `id name`, or of one name per line.")
    ] = None
    delimiter: Annotated[
        Optional[Text], Field(min_length=1, description="Between id and name in class_id_map_file; null: white space.")
    ] = None


class InferSection(Section):
    """Prediction of images without labels."""

    infer_imgs: Annotated[Optional[Text], Field(description="An image, or a folder searched recursively.")] = None
    infer_list: Annotated[Optional[Text], Field(description="A file with one image path per line.")] = None
    batch_size: Annotated[Positive, Field(description="Images that go through the model together.")] = 10
    save_dir: Annotated[Optional[Text], Field(description="Where predictions.json goes; null: output_dir.")] = None
    format: Annotated[
        Literal["list", "map"], Field(description="Of predictions.json: all answers, or {path: class id}.")
    ] = "list"
    transforms: Annotated[Optional[List[Component]], Field(description="null: those of DataLoader.Eval.dataset.")] = (
        None
    )
    tta: Annotated[
        Literal["none", "flip", "crops"],
        Field(
            description="Test-time augmentation: the mean probabilities of the image and its mirror image, or of the "
            "centre and the four corners."
        ),
    ] = "none"
    PostProcess: PostProcessSection = PostProcessSection()
