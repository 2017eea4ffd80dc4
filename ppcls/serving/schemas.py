"""The JSON of the answers. FastAPI describes the API by these models; tests check the answers against them."""

from __future__ import annotations

from typing import Dict, List, Optional, Union

from pydantic import BaseModel, Field


class Status(BaseModel):
    """The server's state."""

    status: str


class ModelInfo(BaseModel):
    """The model and the server's limits."""

    model: str
    backend: str
    device: str
    precision: str = Field(description="precision that the model computes in")
    image_shape: List[int] = Field(description="channels, height, width")
    class_num: int
    class_names: Optional[List[str]]
    topk: Optional[int] = Field(description="classes in an answer; null where thresholds choose them")
    multilabel: bool = Field(description="an image may have any number of classes, and so an answer")
    unsure_margin: float = Field(
        description="the page marks an answer as unsure if its score is less than this above the second one's"
    )
    examples: int = Field(description="how many pictures GET /examples has")
    max_images: int
    max_body: int
    max_pixels: int
    urls: bool
    saliency: bool


class Example(BaseModel):
    """A picture with its true classes; one but for multi-label models."""

    class_ids: List[int]
    label_names: List[str] = Field(description="empty if the classes have no names")
    image: str = Field(description="a data URL (JPEG)")


class Examples(BaseModel):
    """The pictures that were exported with the model."""

    examples: List[Example]


class ImageResult(BaseModel):
    """Classes of an image, the best one first; of a multi-label model all that reach their thresholds, maybe none."""

    file_name: str
    class_ids: List[int]
    scores: List[float]
    label_names: List[str] = Field(description="empty if the classes have no names")


class AttributeResult(ImageResult):
    """Classes of an image by a model of attributes."""

    attributes: List[str] = Field(description="the answer in words")


class ImageError(BaseModel):
    """An image that cannot be used."""

    file_name: str
    error: str


class Prediction(BaseModel):
    """Results in the order of the images."""

    results: List[Union[AttributeResult, ImageResult, ImageError]]
    model: str
    milliseconds: Dict[str, float]


class HeatMap(BaseModel):
    """How far the score of a class falls where a part of the image is covered."""

    file_name: str
    class_id: int
    label_name: Optional[str]
    score: float
    heat: List[List[float]] = Field(
        description="how far the score falls when a cell of the picture is covered, row by row"
    )
    image: Optional[str] = Field(description="the image as the model sees it, as a data URL (PNG)")
    overlay: Optional[str] = Field(description="the same with the heat on it, as a data URL (JPEG)")
    model: str
    milliseconds: Dict[str, float]


class Error(BaseModel):
    """What is wrong and what to do."""

    error: str


class ServerError(Error):
    """The server or the model failed."""

    id: str = Field(description="the log says more under this id")


class NoUsableImage(Prediction):
    """None of the images can be used; ``results`` has each one's error."""

    error: str
