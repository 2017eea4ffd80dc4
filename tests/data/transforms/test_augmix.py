"""AugMix against its paper."""

import numpy as np
import pytest

from ppcls.data.transforms import build_transforms
from tests.helpers.images import picture

pil = pytest.importorskip("PIL.Image")
from PIL import ImageOps  # noqa: E402


def apply(name, image, seed=0, **arguments):
    return build_transforms([{name: arguments}])(image, np.random.default_rng(seed))


def _augmix_by_hand(image, seed, width, depth, alpha, ops):
    """AugMix, algorithm 1, with the operations of ``ops`` in place of the random ones."""
    rng = np.random.default_rng(seed)
    assert rng.random() < 1  # whether the image is augmented at all
    weights, share = rng.dirichlet([alpha] * width), rng.beta(alpha, alpha)
    mixed = np.zeros(image.shape)
    for weight in weights:
        chain = image
        for index in rng.choice(len(ops), depth):
            chain = ops[index](chain, rng)
        mixed += weight * chain
    return (1 - share) * image + share * mixed


def test_augmix_mixes_chains_as_its_paper_says():
    image = picture()

    def via_pillow(function):
        return lambda array, rng: np.asarray(function(pil.fromarray(array), rng.uniform(0.1, 3) / 10, rng))

    def sign(rng):
        return 1 if rng.random() < 0.5 else -1

    def affine(matrix):
        return lambda one, strength, rng: one.transform(
            one.size, pil.AFFINE, matrix(strength, sign(rng)), pil.BILINEAR, fillcolor=(0, 0, 0)
        )

    ops = [
        via_pillow(lambda one, strength, rng: ImageOps.autocontrast(one)),
        via_pillow(lambda one, strength, rng: ImageOps.equalize(one)),
        via_pillow(lambda one, strength, rng: ImageOps.posterize(one, 4 - int(strength * 4))),
        via_pillow(lambda one, strength, rng: one.rotate(sign(rng) * int(strength * 30), pil.BILINEAR)),
        via_pillow(lambda one, strength, rng: ImageOps.solarize(one, 256 - int(strength * 256))),
        via_pillow(affine(lambda strength, s: (1, s * strength * 0.3, 0, 0, 1, 0))),
        via_pillow(affine(lambda strength, s: (1, 0, 0, s * strength * 0.3, 1, 0))),
        via_pillow(affine(lambda strength, s: (1, 0, s * int(strength * 60 / 3), 0, 1, 0))),
        via_pillow(affine(lambda strength, s: (1, 0, 0, 0, 1, s * int(strength * 40 / 3)))),
    ]
    for seed in range(20):
        result = apply(
            *("AugMix", image, seed), prob=1, aug_prob_coeff=1, mixture_depth=2, aug_severity=3, backend="pil"
        )
        expected = _augmix_by_hand(image, seed, 3, 2, 1.0, ops)
        assert np.abs(result - expected).max() < 2  # truncated twice


def test_augmix_leaves_half_of_the_images():
    unchanged = np.mean([np.array_equal(apply("AugMix", picture(), seed), picture()) for seed in range(200)])
    assert 0.4 < unchanged < 0.65
    np.testing.assert_array_equal(apply("AugMix", picture(), 1, prob=0), picture())
