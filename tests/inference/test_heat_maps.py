"""The scale and the drawing of heat maps, and occlusion."""

import numpy as np
import pytest

from ppcls.inference import heat_maps, occlusion


def test_the_scale():
    evidence = np.array([[[-1.0, 1.0], [2.0, 4.0]]], np.float32)
    np.testing.assert_allclose(heat_maps.scaled(evidence, 2, np.zeros(1))[0], [[0, 0.25], [0.5, 1]])
    np.testing.assert_allclose(heat_maps.scaled(evidence, 8, np.zeros(1))[0].max(), 0.5)  # not enough to decide
    for likeness, most in ((0.5, 1), (0.75, 2 / 3), (1, 1 / 3), (3, 1 / 3)):  # to the pixels in random order
        np.testing.assert_allclose(heat_maps.scaled(evidence, 2, np.full(1, likeness))[0].max(), most, rtol=1e-6)


def test_shuffling_keeps_the_pixels_and_not_their_places():
    images = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    shuffled = heat_maps.shuffled(images, 0)
    assert shuffled.shape == images.shape
    assert (shuffled != images).any()
    for before, after in zip(images, shuffled):
        assert {tuple(pixel) for pixel in before.reshape(3, -1).T} == {tuple(pixel) for pixel in after.reshape(3, -1).T}
    last = heat_maps.shuffled(images.transpose(0, 2, 3, 1), 0, channels_last=True)
    np.testing.assert_array_equal(last.transpose(0, 3, 1, 2), shuffled)


def test_stretching():
    heat = np.array([[[0, 1], [0, 0]]], np.float32)
    whole = heat_maps.stretched(heat, (9, 6))[0]
    assert whole.shape == (9, 6)
    assert whole[0, 5] == 1
    cut = heat_maps.stretched(heat, (9, 6), stride=4)[0]  # 8 x 8 pixels for 9 x 6
    assert cut[0, 5] == pytest.approx(0.875)
    assert not cut[8].any()


def test_cold_parts_stay_the_photo():
    photo = np.random.default_rng(0).integers(0, 256, (100, 90, 3), np.uint8)
    heat = np.zeros((100, 90), np.float32)
    np.testing.assert_array_equal(heat_maps.overlay(photo, heat), photo)
    heat[:, 60:] = 1
    drawn = heat_maps.overlay(photo, heat)
    np.testing.assert_array_equal(drawn[:, :50], photo[:, :50])
    red = drawn[20:80, 70:85].astype(int)
    assert (red[..., 0] > red[..., 1] + 60).all()
    pale = heat_maps.overlay(photo, np.full((100, 90), 1 / 3, np.float32))
    assert np.abs(pale.astype(int) - photo).max() <= 0.28 * 255
    with pytest.raises(ValueError, match="for a photo of"):
        heat_maps.overlay(photo, heat[:50])


@pytest.mark.parametrize("channels_last", [False, True])
def test_occlusion_finds_what_a_model_looks_at(channels_last):
    image = np.full((3, 32, 32), 0.5, np.float32)
    image[:, 4:10, 20:28] = 3.0
    image = image.transpose(1, 2, 0) if channels_last else image
    sizes = []

    def run(batch):
        """Answer class 1 by what is brightest in the upper right quarter: a shuffled image has little there."""
        sizes.append(len(batch))
        batch = batch.transpose(0, 3, 1, 2) if channels_last else batch
        seen = batch[:, 0, 4:10, 20:28].mean(axis=(1, 2)) / 3
        return np.stack([1 - seen, seen], axis=1)

    heat = occlusion.heat_map(run, image, 1, batch_size=10, channels_last=channels_last)
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert 2 <= row <= 12
    assert 18 <= column <= 30
    assert heat.max() > 0.9
    assert heat[16:, :16].max() == 0
    assert sizes == [3, 10, 10, 10, 10, 9]


def test_occlusion_of_what_is_there_by_chance_is_pale():
    falls = np.array([[0.0, 0.9], [0.1, 0.0]])
    assert occlusion.scaled(falls, whole=0.95, by_chance=0.0).max() == pytest.approx(1)
    assert occlusion.scaled(falls, whole=0.95, by_chance=0.95).max() == pytest.approx(1 / 3)
    assert occlusion.scaled(falls / 9, whole=0.2, by_chance=0.0).max() == pytest.approx(0.2)
