"""Pictures for tests."""

import pytest


def photo():
    """Return a photo [427, 640, 3]."""
    datasets = pytest.importorskip("sklearn.datasets", reason="needs scikit-learn's sample photo")
    return datasets.load_sample_image("flower.jpg")
