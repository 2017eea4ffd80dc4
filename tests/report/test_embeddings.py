"""The map of the embeddings, of features of any kind."""

import numpy as np
import pytest

from ppcls.report.collect import collect
from ppcls.report.elements import Charts
from ppcls.report.run_data import Explanations
from ppcls.report.sections.embeddings import embeddings


@pytest.fixture
def section(reported):
    """Return a function that returns the section of features, as HTML, and its charts."""
    data = collect(reported)

    def draw(features):
        features = np.asarray(features, np.float32)
        data.explanations = Explanations(features=features, feature_rows=list(range(len(features))))
        charts = Charts()
        made = embeddings(data, charts)
        return (None if made is None else made.html()), charts.drawn

    return draw


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(40, 16)).astype("float32")


def test_both_maps(section, features):
    text, charts = section(features)
    assert "of 40 images of the evaluation" in text
    assert set(charts) == {"embeddings_pca", "embeddings_tsne"}
    assert section(features[:2]) == (None, {})


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_images_whose_features_are_not_finite_are_left_out(section, features, value):
    features[7, 3] = features[9] = value
    text, charts = section(features)
    assert "of 38 images of the evaluation. 2 more are left out, whose features are not finite." in text
    assert sum(len(series.points) for series in charts["embeddings_pca"].series) == 38


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda features: features * np.inf, "the features of 40 of 40 images are not finite"),
        (lambda features: features[:, :1], "the classifier gets one number per image, and a map needs two"),
        (lambda features: features[:1].repeat(40, axis=0), "the classifier gets the same features of all images"),
    ],
)
def test_why_there_is_no_map(section, features, change, reason):
    text, charts = section(change(features))
    assert f"There is no map: {reason}." in text
    assert charts == {}


def test_odd_features_that_have_a_map(section, features):
    for odd in (features[:, :1] * np.ones(2), features * 1e30, features * 1e-30):
        _, charts = section(odd)
        assert set(charts) == {"embeddings_pca", "embeddings_tsne"}
        for chart in charts.values():
            points = np.array([point for series in chart.series for point in series.points])
            assert np.isfinite(points).all()
            assert points.std() > 0


def test_a_report_of_a_model_with_one_feature(recipe, run, tmp_path):
    """A backbone of somebody's whose classifier gets one number."""
    (tmp_path / "narrow.py").write_text(
        "import paddle\nfrom ppcls.arch import BACKBONES\n\n\n"
        "@BACKBONES.register\nclass Narrow(paddle.nn.Layer):\n"
        "    def __init__(self, class_num=10):\n        super().__init__()\n"
        "        self.body, self.head = paddle.nn.Linear(3, 1), paddle.nn.Linear(1, class_num)\n\n"
        "    def forward_features(self, x):\n        return self.body(x.mean([2, 3]))\n\n"
        "    def forward(self, x):\n        return self.head(self.forward_features(x))\n"
    )
    arch = ("Arch={name: Narrow, class_num: 10}", "Global.report=true", "Global.epochs=1")
    run("train", "-c", recipe, "--import", "narrow.py", "-o", *arch)
    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "There is no map: the classifier gets one number per image" in text


def test_the_maps_are_computed_in_one_thread(section, features, monkeypatch):
    """With several, the map by t-SNE takes minutes on a busy machine."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_info, threadpool_limits

    def counts():
        return {pool["num_threads"] for pool in threadpool_info()}

    def fit(self, scaled):
        seen.append(counts())
        return scaled[:, :2]

    seen = []
    monkeypatch.setattr(TSNE, "fit_transform", fit)
    with threadpool_limits(2):
        section(features)
        assert counts() == {2}
    assert seen == [{1}]
