"""Two models on the same images: which is better, how sure that is, and where they differ."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple

from ppcls.analysis import labelled_data
from ppcls.analysis.statistics import mcnemar, wilson_interval
from ppcls.data.datasets import Dataset
from ppcls.errors import DataError
from ppcls.inference.predictor import BasePredictor

BOTH, ONLY_A, ONLY_B, NEITHER = "both right", "only A right", "only B right", "neither right"


@dataclass(frozen=True)
class Answered:
    """What a model answers for an image.

    Attributes:
        names: of the classes that it answers: one, or of a multi-label model any number.
        score: the probability of the answered class; of a multi-label model the least sure one of all classes, as the
            probability of what is answered about it.
        right: whether these are the true classes.
    """

    names: Tuple[str, ...]
    score: float
    right: bool


@dataclass(frozen=True)
class ComparedImage:
    """An image, its true classes and both answers.

    Attributes:
        index: in the data set.
        name: its path.
        truth: names of its classes.
    """

    index: int
    name: str
    truth: Tuple[str, ...]
    a: Answered
    b: Answered

    @property
    def outcome(self) -> str:
        """Which of the two is right."""
        return {(True, True): BOTH, (True, False): ONLY_A, (False, True): ONLY_B}.get(
            (self.a.right, self.b.right), NEITHER
        )

    @property
    def differs(self) -> bool:
        """Whether the two answer differently."""
        return set(self.a.names) != set(self.b.names)


@dataclass(frozen=True)
class Comparison:
    """The result.

    Attributes:
        models: what the two are called.
        data: where the images are.
        images: those that both models could use.
        broken: (path, error) of the others.
        multilabel: whether an image may have any number of classes; it is right where all of them are.
        trained_on: how many of the images each model was trained on, as far as that is known.
    """

    models: Tuple[str, str]
    data: str
    images: List[ComparedImage]
    broken: List[Tuple[str, str]]
    multilabel: bool
    trained_on: Tuple[int, int] = (0, 0)

    def count(self, outcome: str) -> int:
        """Return the number of images with an outcome."""
        return sum(image.outcome == outcome for image in self.images)

    @property
    def p_value(self) -> float:
        """That of McNemar's exact test."""
        return mcnemar(self.count(ONLY_A), self.count(ONLY_B))

    @property
    def accuracies(self) -> List[Dict[str, Any]]:
        """The share of right answers of each model, with its 95 % interval."""
        total = len(self.images)
        result = []
        for path, correct in zip(
            self.models, (sum(image.a.right for image in self.images), sum(image.b.right for image in self.images))
        ):
            share = correct / total if total else float("nan")
            result.append(
                {"model": path, "correct": correct, "accuracy": share, "interval": wilson_interval(correct, total)}
            )
        return result

    @property
    def verdict(self) -> str:
        """What the test says, in a sentence."""
        only_a, only_b, p = self.count(ONLY_A), self.count(ONLY_B), self.p_value
        counts = f"only A answers {only_a:,} images correctly, only B {only_b:,} (McNemar's exact test: p = {p:.2g})"
        if p >= 0.05:
            return f"No clear difference: {counts}."
        return f"{'A' if only_a > only_b else 'B'} is better: {counts}."

    def classes(self) -> List[Dict[str, Any]]:
        """Return images, recall and precision of both for each class, the largest difference of recall first."""
        support = Counter(name for image in self.images for name in image.truth)
        counts = {}
        for side in ("a", "b"):
            answers = [(image.truth, getattr(image, side).names) for image in self.images]
            found = Counter(name for _, names in answers for name in names)
            hits = Counter(name for truth, names in answers for name in names if name in truth)
            counts[side] = (found, hits)
        rows = []
        for name in sorted({*support, *counts["a"][0], *counts["b"][0]}):
            row: Dict[str, Any] = {"class": name, "images": support[name]}
            for side, (found, hits) in counts.items():
                row[f"recall_{side}"] = hits[name] / support[name] if support[name] else None
                row[f"precision_{side}"] = hits[name] / found[name] if found[name] else None
            rows.append(row)
        return sorted(rows, key=lambda row: -abs((row["recall_a"] or 0) - (row["recall_b"] or 0)))

    def to_json(self) -> Dict[str, Any]:
        """Return the result as JSON values; of the images those that are answered differently."""
        first, second = self.accuracies
        return {
            "data": self.data,
            "images": len(self.images),
            "broken": [{"file_name": name, "error": error} for name, error in self.broken],
            "multilabel": self.multilabel,
            "a": {**first, "trained_on": self.trained_on[0]},
            "b": {**second, "trained_on": self.trained_on[1]},
            "difference": second["accuracy"] - first["accuracy"],
            "counts": {outcome: self.count(outcome) for outcome in (BOTH, ONLY_A, ONLY_B, NEITHER)},
            "p_value": self.p_value,
            "verdict": self.verdict,
            "classes": self.classes(),
            "differences": [_image_json(image) for image in self.images if image.differs],
        }


def _image_json(image: ComparedImage) -> Dict[str, Any]:
    sides = {
        side: {"label_names": list(answer.names), "score": round(answer.score, 5), "right": answer.right}
        for side, answer in (("a", image.a), ("b", image.b))
    }
    return {"file_name": image.name, "truth": list(image.truth), **sides}


def compare(predictors: Sequence[BasePredictor], models: Tuple[str, str], dataset: Dataset, data: str) -> Comparison:
    """Compare two models on labelled images.

    Args:
        predictors: of the two.
        models: what the two are called.
        dataset: the images.
        data: where they are.

    Raises:
        ConfigError: the models or the data are not for the same kind of labels.
        DataError: the data have a class that a model does not know, or no image can be used.
        WeightsError: a model's outputs are not finite.
    """
    trained_on = [
        labelled_data.warn_of_training_images(dataset, predictor, owner) for predictor, owner in zip(predictors, models)
    ]
    sides = [_answers(predictor, dataset, owner) for predictor, owner in zip(predictors, models)]
    images, broken = [], []
    for index, (a, b) in enumerate(zip(*sides)):
        problem = next((item for item in (a, b) if isinstance(item, str)), None)
        name = dataset.describe(index)
        if isinstance(a, str) or isinstance(b, str):
            broken.append((name, str(problem)))
        else:
            images.append(ComparedImage(index, name, a[1], a[0], b[0]))
    if not images:
        raise DataError(f"{data}: none of the {len(broken)} images can be used; the first: {': '.join(broken[0])}")
    return Comparison(models, data, images, broken, dataset.is_multilabel, (trained_on[0], trained_on[1]))


def _answers(predictor: BasePredictor, dataset: Dataset, owner: str) -> List[Any]:
    """Return (answer, names of the true classes) for each image, or its error as text."""
    from tqdm import tqdm

    aligned = labelled_data.with_classes_of(dataset, predictor, owner)
    postprocess = predictor.pipeline.postprocess
    names = aligned.class_names or postprocess.class_names
    result: List[Any] = []
    with contextlib.closing(predictor.pipeline.outputs(labelled_data.sources_of(aligned))) as outputs:
        for index, (_, scores) in enumerate(tqdm(outputs, owner, len(aligned), leave=False, disable=None)):
            if isinstance(scores, DataError):
                result.append(str(scores))
                continue
            ids = postprocess(scores)["class_ids"]
            if not aligned.is_multilabel:
                ids = ids[:1]
                score = float(scores[ids[0]])
            else:
                score = float(min((p if i in ids else 1 - p) for i, p in enumerate(scores)))
            true_ids = aligned.classes(index)
            answered = Answered(_named(ids, names), score, set(ids) == set(true_ids))
            result.append((answered, _named(true_ids, names)))
    return result


def _named(ids: Sequence[int], names: Optional[Sequence[str]]) -> Tuple[str, ...]:
    return tuple(names[i] if names and i < len(names) else str(i) for i in ids)
