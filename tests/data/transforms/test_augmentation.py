"""Augmentation against the published definitions."""

import math
from collections import Counter

import numpy as np
import pytest

from ppcls.data.transforms import build_transforms, pixels, policies, timm_auto_augment
from ppcls.data.transforms.magnitudes import POLICY_OPERATIONS, MaxTranslation
from ppcls.data.transforms.operations import OPERATIONS
from ppcls.data.transforms.policy_ops import AugMixPolicy, SubPolicyOp
from ppcls.data.transforms.warp import AffineSampler
from ppcls.errors import ConfigError
from tests.helpers.images import PICTURES

# name: magnitudes at levels 0, 5 and 10; "+-" for either sign. From timm's table and, for 1 + sign x, both ways.
RANGES = {
    "Rotate": ([0], [-15, 15], [-30, 30]),
    "Posterize": ([0], [2], [4]),
    "PosterizeIncreasing": ([4], [2], [0]),
    "PosterizeOriginal": ([4], [6], [8]),
    "Solarize": ([0], [128], [256]),
    "SolarizeIncreasing": ([256], [128], [0]),
    "SolarizeAdd": ([0], [55], [110]),
    **{name: ([0.1], [1.0], [1.9]) for name in ("Color", "Contrast", "Brightness", "Sharpness")},
    **{
        f"{name}Increasing": ([1.0], [0.55, 1.45], [0.1, 1.9])
        for name in ("Color", "Contrast", "Brightness", "Sharpness")
    },
    **{name: ([0], [-0.15, 0.15], [-0.3, 0.3]) for name in ("ShearX", "ShearY")},
    **{name: ([0], [-50, 50], [-100, 100]) for name in ("TranslateX", "TranslateY")},
    **{name: ([0], [-0.225, 0.225], [-0.45, 0.45]) for name in ("TranslateXRel", "TranslateYRel")},
    **{name: ([0], [0], [0]) for name in ("AutoContrast", "Equalize", "Invert")},
    "Desaturate": ([0.5], [0.75], [1]),
    "GaussianBlur": ([0.1], [1.05], [2]),
}


@pytest.mark.parametrize("name", [name for name in POLICY_OPERATIONS if name != "GaussianBlurRand"])
def test_magnitudes_of_levels(name):
    for level, expected in zip((0, 5, 10), RANGES[name]):
        seen = {
            round(POLICY_OPERATIONS[name].magnitude(level, MaxTranslation(100), np.random.default_rng(seed)), 6) + 0.0
            for seed in range(40)
        }
        assert seen == set(expected), level


def test_levels_deviate_and_are_cut_off():
    scale, sampler = MaxTranslation(100), AffineSampler()
    seen = []
    OPERATIONS["Spy"] = lambda image, value, *rest: seen.append(value) or image
    POLICY_OPERATIONS["Spy"] = POLICY_OPERATIONS["SolarizeAdd"]._replace(
        operation="Spy", magnitude=lambda level, scale, rng: level / 10
    )
    try:
        for deviation in (0.5, math.inf):
            step = SubPolicyOp("Spy", 1.0, 9, deviation)
            for seed in range(2000):
                step(PICTURES[0], sampler, scale, np.random.default_rng(seed))
    finally:
        del OPERATIONS["Spy"], POLICY_OPERATIONS["Spy"]
    normal, even = np.array(seen[:2000]), np.array(seen[2000:])
    assert normal.max() == 1.0  # level 10
    assert abs(np.median(normal) - 0.9) < 0.005
    assert abs(normal[normal < 0.9].std() - 0.03) < 0.004
    assert even.min() < 0.01
    assert 0.88 < even.max() < 0.9
    assert abs(even.mean() - 0.45) < 0.01


def chosen(config, count=4000):
    """Return how often each operation of a configuration is applied, per image."""
    augment = timm_auto_augment.parse(config)
    counts = Counter()
    real = dict(OPERATIONS)
    for name in real:
        OPERATIONS[name] = lambda image, value, sampler, rng, name=name: counts.update([name]) or image
    try:
        for seed in range(count):
            augment(PICTURES[0], AffineSampler(), MaxTranslation(100), np.random.default_rng(seed))
    finally:
        OPERATIONS.update(real)
    return {name: number / count for name, number in counts.items()}


def test_rand_chooses_two_of_fifteen_and_applies_half():
    shares = chosen("rand-m9")
    assert len(shares) == 15
    assert all(abs(share - 2 / 15 / 2) < 0.02 for share in shares.values())
    assert abs(sum(chosen("rand-m9-n3-p1", 500).values()) - 3) < 1e-9


def test_weights_choose_geometry_mostly_and_never_invert():
    shares = chosen("rand-m9-n1-p1-w0")
    assert abs(shares["Rotate"] - 0.3) < 0.03
    assert abs(shares["ShearX"] - 0.2) < 0.03
    assert "Invert" not in shares
    assert "Posterize" not in shares


def test_named_sets_of_operations():
    shares = chosen("rand-n1-p1-tweights")
    # 10.05 is the sum of timm's weights: 3 rotation, 2 each shear, 1 each translation, .25 three times, .05 six times.
    assert abs(shares["Rotate"] - 3 / 10.05) < 0.03
    assert abs(shares["Color"] - 0.25 / 10.05) < 0.012
    shares = chosen("rand-n1-p1-t3aw", 6000)
    assert abs(shares["GaussianBlur"] - 6 / 33) < 0.03
    assert abs(shares["Invert"] - 1 / 33) < 0.012
    shares = chosen("rand-n2-p1-t3a", 500)
    assert set(shares) == {"Solarize", "Desaturate", "GaussianBlur"}
    assert sum(shares.values()) == pytest.approx(2)


def test_the_imagenet_policy_applies_its_pairs_as_often_as_written():
    shares = chosen("original")
    # 25 rows of the paper's table; the sum of an operation's chances over them.
    assert abs(shares["Posterize"] - (0.4 + 0.6 + 0.6 + 0.8 + 0.4) / 25) < 0.02
    assert abs(shares["Invert"] - (0.6 + 0.6 + 0.6) / 25) < 0.015
    assert abs(shares["ShearX"] - 0.6 / 25) < 0.01
    assert abs(shares["Contrast"] - 2 / 25) < 0.015


def test_augmix_by_its_formula():
    """Chains of Equalize alone: whichever way they are mixed, the image moves towards its equalized self."""
    image = PICTURES[6]
    equalized = pixels.equalize(image).astype(float)
    steps = [SubPolicyOp("Equalize", 1.0, 3)]
    for blended in (False, True):
        augment = AugMixPolicy(steps, width=3, depth=1, alpha=1.0, blended=blended)
        for seed in range(10):
            rng = np.random.default_rng(seed)
            rng.dirichlet([1.0] * 3)
            weight = rng.beta(1, 1)
            result = augment(image, AffineSampler(), MaxTranslation(100), np.random.default_rng(seed))
            expected = image + weight * (equalized - image)
            assert np.abs(result - expected).max() < 4.5  # up to one is cut off in each of the mixtures
    calls = Counter()

    class Spy(SubPolicyOp):
        def __call__(self, image, *rest):
            calls[self.name] += 1
            return image

    for seed in range(600):
        AugMixPolicy([Spy("Equalize", 1, 3)], 3, -1, 1.0, False)(
            image, AffineSampler(), MaxTranslation(1), np.random.default_rng(seed)
        )
    assert abs(calls["Equalize"] / 600 - 3 * 2) < 0.25  # chains of one to three


def test_augmix_mixes_with_the_image():
    augment = build_transforms([{"TimmAutoAugment": {"config_str": "augmix-m3-w3-d-1-a1.0", "img_size": 64}}])
    image = PICTURES[5]
    weak = build_transforms([{"TimmAutoAugment": {"config_str": "augmix-m0-w1-d1", "img_size": 64}}])
    changed = [np.abs(augment(image, np.random.default_rng(seed)).astype(int) - image).mean() for seed in range(20)]
    assert min(changed) < 8
    assert max(changed) > 1
    assert weak(image, np.random.default_rng(0)).shape == image.shape


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("rnd-m9", "unknown kind 'rnd'; did you mean 'rand'"),
        ("rand-x9", "unknown word 'x9'; known: m<number>"),
        ("rand-m", "unknown word 'm'"),
        ("rand-m9-m8", "'m' is given twice"),
        ("rand-m31", "m: must be from 0 to 30, not 31"),
        ("rand-m-3", "unknown word 'm'"),
        ("rand-p1.5", "p: must be from 0 to 1, not 1.5"),
        ("rand-mmax0", "mmax: must be from 1 to 100"),
        ("rand-tweight", "t: unknown set 'weight'; did you mean 'weights'"),
        ("rand-t3a-w0", "give one of w0 and t"),
        ("rand-m9-n2.5", "n: must be a whole number from 1 to 15, not 2.5"),
        ("rand-m9-n14-w0", "n: must be a whole number from 1 to 13"),
        ("original-m9", "unknown word 'm9'"),
        ("augmix-w0", "w: must be a whole number from 1"),
        ("", "unknown kind ''"),
    ],
)
def test_mistakes_in_a_configuration(config, message):
    with pytest.raises(ConfigError, match=r"transform_ops\[0\].TimmAutoAugment: config_str: ") as caught:
        build_transforms([{"TimmAutoAugment": {"config_str": config}}])
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("TimmAutoAugment", {"config_str": 9}, "config_str: must be text"),
        ("TimmAutoAugment", {"config_str": None, "splits": 3}, "splits: needs a config_str"),
        ("TimmAutoAugment", {"splits": -1}, "splits: must be a whole number of at least 0"),
        ("TimmAutoAugment", {"mean": [124, 116, 104]}, "mean: must be from 0 to 1"),
        ("TimmAutoAugment", {"mean": None}, "mean: must be a list"),
        ("TimmAutoAugment", {"interpolation": None}, "interpolation: must be text"),
        ("TimmAutoAugment", {"interpolation": "lanczos"}, "interpolation: must be one of"),
        ("TimmAutoAugment", {"img_size": 0}, "img_size: must be a whole number"),
        ("TimmAutoAugment", {"backend": "PIL"}, "backend: must be one of 'cv2', 'pil'"),
        ("RandAugment", {"magnitude": 11}, "magnitude: must be from 0 to max_level, 10, not 11"),
        ("AutoAugment", {"interpolation": None}, "interpolation: must be text"),
        ("RandomRotation", {"degrees": -5}, "degrees: must be at least 0"),
        ("RandomErasing", {"mean": 0}, "mean: must be a list"),
        ("RandomErasing", {"r1": 0}, "r1: must be a number above 0"),
        ("RandomErasing", {"sl": 0.5, "sh": 0.2}, "sl: must be at least 0 and at most sh"),
        ("GridMask", {"ratio": 1}, "ratio: must be between 0 and 1"),
    ],
)
def test_values_that_make_no_sense(name, arguments, message):
    with pytest.raises(ConfigError, match=rf"transform_ops\[0\].{name}: {message}"):
        build_transforms([{name: arguments}])


def test_images_of_a_few_pixels():
    names = ("TimmAutoAugment", "RandAugment", "AutoAugment", "TrivialAugment", "ColorJitter", "GridMask", "Cutout")
    for shape in ((1, 1, 3), (1, 7, 3), (3, 2, 3)):
        image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        for name in names:
            augment = build_transforms([{name: {"config_str": "rand-n5-p1"} if name.startswith("Timm") else None}])
            for seed in range(20):
                assert augment(image, np.random.default_rng(seed)).shape == shape


@pytest.mark.parametrize(
    "op",
    [
        *({"TimmAutoAugment": {"config_str": config}} for config in ("rand-m9-mstd0.5-inc1", "v0r-mstd0.5", "3a")),
        {"TimmAutoAugment": {"config_str": "originalr", "prob": 0.5, "backend": "pil", "interpolation": "bicubic"}},
        {"AutoAugment": None},
        {"AutoAugment": {"policy": "cifar10", "backend": "pil"}},
        {"AutoAugment": {"policy": "svhn", "interpolation": "bicubic", "fill": [1, 2, 3]}},
        {"TimmAutoAugment": {"config_str": "rand-m30-mmax30-n5-p1-mstd10"}},
        {"TimmAutoAugment": {"config_str": "rand-m30-mmax30-n5-p1-inc1-mstd101"}},
        {"TimmAutoAugment": {"config_str": "augmix-m5-w4-d2-b1-a0.1", "backend": "pil"}},
        {"TimmAutoAugment": {"config_str": "rand-m5-n3-t3aw-p0.8", "backend": "pil"}},
        {"RandAugment": None},
        {"RandAugment": {"num_layers": 2, "magnitude": 12, "max_level": 30}},
        {"TrivialAugment": None},
        {"ColorJitter": {"brightness": 0.4, "contrast": 0.4, "saturation": [0.5, 2], "hue": 0.1}},
        {"RandomRotation": {"degrees": 30, "interpolation": "bilinear", "prob": 1}},
        {"Cutout": {"n_holes": 2, "length": 8}},
        {"GridMask": {"d1": 8, "d2": 20, "rotate": 45, "ratio": 0.4}},
        {"RandomGrayscale": {"p": 0.5}},
    ],
    ids=str,
)
def test_every_augmentation_keeps_the_shape_and_follows_its_generator(op):
    transforms = build_transforms([op])
    for image in PICTURES[:6]:
        before = image.copy()
        results = [transforms(image, np.random.default_rng(seed)) for seed in range(12)]
        again = [transforms(image, np.random.default_rng(seed)) for seed in range(12)]
        np.testing.assert_array_equal(image, before)  # never changed in place
        for result, same in zip(results, again):
            assert (result.shape, result.dtype) == (image.shape, np.uint8)
            np.testing.assert_array_equal(result, same)
    assert len({result.tobytes() for result in results}) > 1


def test_rand_augment_follows_the_image_s_sides():
    """Translations of 150 / 331 of the width sideways and of the height upwards, at full strength."""
    image = np.full((66, 331, 3), 255, np.uint8)
    augment = build_transforms([{"RandAugment": {"num_layers": 1, "magnitude": 10, "fill": 0}}])
    hidden = Counter()
    for seed in range(600):
        black = (augment(image, np.random.default_rng(seed)) == 0).all(2)
        if black.all(0).any() and not black.all(0).all():
            hidden["columns", int(black.all(0).sum())] += 1
        elif black.all(1).any() and not black.all(1).all():
            hidden["rows", int(black.all(1).sum())] += 1
    assert hidden["columns", 150] > 20
    assert hidden["rows", 29] > 20  # 66 * 150 / 331 = 29.9, cut off
    assert max(size for kind, size in hidden if kind == "rows") == 29


def test_policies_have_twenty_five_pairs():
    for policy in (policies.IMAGENET, policies.CIFAR10, policies.SVHN, policies.V0):
        assert [len(row) for row in policy] == [2] * 25
        for name, chance, level in (step for row in policy for step in row):
            assert name in POLICY_OPERATIONS
            assert 0 <= chance <= 1
            assert 0 <= level <= 10
    with pytest.raises(ConfigError, match="policy: unknown name 'imagnet'; did you mean 'imagenet'"):
        build_transforms([{"AutoAugment": {"policy": "imagnet"}}])


def test_colour_jitter_draws_its_factors_evenly():
    image = np.full((4, 4, 3), 100, np.uint8)
    jitter = build_transforms([{"ColorJitter": {"brightness": 0.4}}])
    values = np.array([jitter(image, np.random.default_rng(seed))[0, 0, 0] for seed in range(2000)])
    assert (values.min(), values.max()) == (60, 139)
    assert abs(values.mean() - 99.5) < 1
    with pytest.raises(ConfigError, match=r"hue: must stay within -0\.5 and 0\.5"):
        build_transforms([{"ColorJitter": {"hue": 0.6}}])
