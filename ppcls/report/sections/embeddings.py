"""The images of the evaluation as points: near ones look alike to the model."""

from __future__ import annotations

import contextlib
from typing import Any, ContextManager, List, Optional, Sequence, Tuple

import numpy as np

from ppcls.report.charts import LineChart, Series
from ppcls.report.drawing import COLORS
from ppcls.report.elements import Charts, Section, paragraph
from ppcls.report.run_data import RunData
from ppcls.report.statistics import exact_matches, principal_components
from ppcls.utils.extras import install_command
from ppcls.utils.html import percent

_FEWEST_IMAGES = 3
_MIN_NEIGHBOURS = 30  # images: below, t-SNE shows nothing
_PERPLEXITY = 30.0


def embeddings(data: RunData, charts: Charts) -> Optional[Section]:
    """Return the section; None where there are no features, or next to none."""
    explanations, answers = data.explanations, data.answers
    if explanations is None or explanations.features is None or answers is None:
        return None
    if len(explanations.features) < _FEWEST_IMAGES:
        return None
    section = Section("embeddings", "Map of the embeddings")
    finite = np.isfinite(explanations.features).all(axis=1)
    features, rows = explanations.features[finite], np.asarray(explanations.feature_rows)[finite]
    missing = _why_no_map(explanations.features, finite)
    if missing is not None:
        section.body.append(paragraph(f"There is no map: {missing}.", "dim"))
        return section
    text = f"What the classifier gets of {len(rows):,} images of the evaluation. "
    if not finite.all():
        text += f"{int((~finite).sum()):,} more are left out, whose features are not finite. "
    labels = answers.labels if not answers.is_multilabel else answers.labels.argmax(axis=1)
    shown = _Coloring(labels[rows], data)
    if shown.names:
        text += "Each color is a class"
        text += f" ({COLORS - 1} classes with most of these images; the others are one color). " if shown.rest else ". "
    right = exact_matches(answers)[rows]
    with _one_thread():
        points, explained = principal_components(features)
        neighbours = _neighbour_map(features)
    maps = [
        ("embeddings_pca", _chart(f"Principal components ({percent(explained, 0)} of the variance)", points, shown))
    ]
    if neighbours is not None:
        maps.insert(0, ("embeddings_tsne", _chart("t-SNE: neighbours stay neighbours", neighbours, shown)))
        text += "Distances between far groups mean little in t-SNE (scikit-learn); PCA keeps them. "
    elif len(features) >= _MIN_NEIGHBOURS:
        text += f"With scikit-learn there is a map by t-SNE, too: {install_command('report')}. "
    text += f"{int((~right).sum()):,} of these images are answered wrongly."
    section.body += [paragraph(text, "dim"), charts.show(maps)]
    return section


def _why_no_map(features: np.ndarray, finite: np.ndarray) -> Optional[str]:
    """Return what is wrong with features [N, C], of which some are finite; None if a map can be drawn."""
    if finite.sum() < _FEWEST_IMAGES:
        return f"the features of {int((~finite).sum()):,} of {len(features):,} images are not finite"
    if features.shape[1] < 2:
        return "the classifier gets one number per image, and a map needs two"
    if (features[finite] == features[finite][0]).all():
        return "the classifier gets the same features of all images"
    return None


class _Coloring:
    """The color of each point: of the classes with most points one each, of the others one."""

    def __init__(self, labels: np.ndarray, data: RunData) -> None:
        found, counts = np.unique(labels, return_counts=True)
        order = found[np.argsort(-counts, kind="stable")]
        kept = order if len(order) <= COLORS else order[: COLORS - 1]
        kept = np.sort(kept)
        self.rest = len(order) > len(kept)
        self.names: List[str] = [data.class_names[int(label)] for label in kept]
        self.masks = [labels == label for label in kept]
        if self.rest:
            self.names.append("other classes")
            self.masks.append(~np.isin(labels, kept))


def _chart(title: str, points: np.ndarray, shown: _Coloring) -> LineChart:
    series: List[Series] = [
        Series(name, _pairs(points[mask]), "points", color)
        for color, (name, mask) in enumerate(zip(shown.names, shown.masks))
    ]
    return LineChart(title, "", "", series, axes=False)


def _pairs(points: np.ndarray) -> Sequence[Tuple[float, float]]:
    return [(float(x), float(y)) for x, y in points]


def _one_thread() -> ContextManager[Any]:
    """Let numerical libraries use one thread, where scikit-learn brings what it takes.

    Threads wait for each other after each of thousands of short steps. On a busy machine, that takes minutes.
    """
    try:
        import sklearn.manifold  # noqa: F401  libraries that are loaded later are not limited
        from threadpoolctl import threadpool_limits
    except ImportError:
        return contextlib.nullcontext()
    return threadpool_limits(1)


def _neighbour_map(features: np.ndarray) -> Optional[np.ndarray]:
    """Return features on a map by t-SNE, None where scikit-learn is missing or there are too few."""
    if len(features) < _MIN_NEIGHBOURS:
        return None
    try:
        from sklearn.manifold import TSNE
    except ImportError:
        return None
    perplexity = min(_PERPLEXITY, (len(features) - 1) / 3)
    scaled = features / np.abs(features).max()  # its squared distances are finite in float32
    return np.asarray(TSNE(init="pca", perplexity=perplexity, random_state=0).fit_transform(scaled))
