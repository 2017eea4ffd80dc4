"""What a report is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

import numpy as np

from ppcls.config.schema import Config
from ppcls.data.datasets import Dataset
from ppcls.engine.predictions import Predictions
from ppcls.engine.state import Best
from ppcls.report.records import Records
from ppcls.report.seen_batch import SeenBatch
from ppcls.report.thumbnails import Thumbnails


@dataclass
class Explanations:
    """What the best weights say about some images; made once, when training is done.

    Attributes:
        heat_maps: rows of the predictions whose photo has a heat map, by row: the class that it is of.
        features: [M, C] float32 of some images; None where there are none.
        feature_rows: the rows of the predictions that they are of.
        problems: what could not be made, and why.
    """

    heat_maps: Dict[int, int] = field(default_factory=dict)
    features: Optional[np.ndarray] = None
    feature_rows: List[int] = field(default_factory=list)
    problems: List[str] = field(default_factory=list)


@dataclass
class RunData:
    """One run, as far as it is known.

    Attributes:
        folder: of the run; of one with stages, that of all.
        config: the recipe; of a run with stages, that of the one that is shown.
        recipe: the recipe as YAML, each value with its origin.
        stages: the records of the stages so far, in order; of a run without stages one.
        stage_folder: where the weights and answers are that are shown.
        best: the best evaluation.
        epochs: how many are done.
        class_names: by class id; numbers as text where classes have no names.
        predictions: the answers of the best evaluation, by kind of weights: "eval", and "eval_ema" of averaged ones.
        train, evaluation: the data; None where they are not there.
        problems: what is missing or damaged, for the page.
        thumbnails: the pictures of the page.
        seen: images of a training batch as the model saw them; None where they are not known.
        explanations: None while training goes on.
        versions: of the libraries that the run was trained with.
        finished: whether training is done.
        stopped: whether it was stopped, or has failed, before it was done.
    """

    folder: Path
    config: Config
    recipe: str
    stages: List[Records]
    stage_folder: Path
    best: Best
    epochs: int
    class_names: List[str]
    predictions: Mapping[str, Predictions] = field(default_factory=dict)
    train: Optional[Dataset] = None
    evaluation: Optional[Dataset] = None
    problems: List[str] = field(default_factory=list)
    thumbnails: Thumbnails = field(default_factory=Thumbnails)
    seen: Optional[SeenBatch] = None
    explanations: Optional[Explanations] = None
    versions: Dict[str, Any] = field(default_factory=dict)
    finished: bool = False
    stopped: bool = False

    @property
    def records(self) -> Records:
        """The records of the training that is shown."""
        return self.stages[-1]

    @property
    def answers(self) -> Optional[Predictions]:
        """The answers of the weights that decide which model is the best; None where there are none."""
        return self.predictions.get("eval_ema") or self.predictions.get("eval")

    @property
    def class_num(self) -> int:
        """How many classes the model has."""
        return len(self.class_names)

    def photo_name(self, row: int) -> str:
        """Return the file name of an image of the evaluation."""
        assert self.answers is not None
        index = int(self.answers.indices[row])
        return f"image {index}" if self.evaluation is None else Path(self.evaluation.describe(index)).name


def photo_key(row: int) -> str:
    """Return what the thumbnail of an image of the evaluation is called."""
    return f"p{row}"


def heat_key(row: int) -> str:
    """Return what its heat map is called."""
    return f"h{row}"
