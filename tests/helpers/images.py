"""Pictures for tests."""

import cv2
import numpy as np
import pytest


def photo():
    """Return a photo [427, 640, 3]."""
    datasets = pytest.importorskip("sklearn.datasets", reason="needs scikit-learn's sample photo")
    return datasets.load_sample_image("flower.jpg")


def picture(height=40, width=60, seed=0):
    """Return a smooth random RGB picture [H, W, 3]."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def encode(rgb, suffix):
    """Return the bytes of an image file."""
    done, data = cv2.imencode(suffix, rgb[:, :, ::-1] if rgb.ndim == 3 and rgb.shape[2] == 3 else rgb)
    assert done
    return data.tobytes()


def pictures():
    """Return images of many kinds: noise, a dark and narrow one, flat ones, a gradient, a photo-like mixture."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:61, 0:83]
    smooth = np.stack([x * 3 % 256, y * 4, (x + y) * 1.7], axis=-1).astype(np.uint8)
    return [
        rng.integers(0, 256, (37, 53, 3), np.uint8),
        rng.integers(20, 60, (64, 5, 3), np.uint8),
        np.full((16, 16, 3), 77, np.uint8),
        np.zeros((3, 3, 3), np.uint8),
        rng.integers(0, 256, (2, 2, 3), np.uint8),
        smooth,
        np.clip(smooth.astype(int) + rng.integers(-20, 20, smooth.shape), 0, 255).astype(np.uint8),
    ]


PICTURES = pictures()


def scene(seed, side=64):
    """Return a picture of smooth shapes: different for each seed."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (6, 6, 3), np.uint8)
    return cv2.resize(small, (side + seed % 7, side), interpolation=cv2.INTER_CUBIC)
