"""Pictures of what layers look for."""

import numpy as np
import paddle
import pytest

from ppcls.analysis.filters import first_filters, spatial_projections
from ppcls.errors import ConfigError
from tests.analysis.models import FAMILIES, tiny


@pytest.mark.parametrize("name", FAMILIES)
def test_first_filters_of_each_family(name):
    picture = first_filters(tiny(name))
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    assert (picture == 255).all(axis=2)[:4].all()  # the gap
    assert picture.std() > 20


def test_a_filter_looks_like_its_weights():
    model = tiny("ConvMixer")
    weights = np.zeros(model.stem.conv.weight.shape, np.float32)
    weights[5, 0] = 1  # the largest one: red all over
    weights[2, :, :, :4] = -0.1
    model.stem.conv.weight.set_value(paddle.to_tensor(weights))
    picture = first_filters(model)
    first, second = picture[4:44, 4:44], picture[4:44, 48:88]
    assert first.reshape(-1, 3).tolist() == [[255, 128, 128]] * 1600
    assert (second[:, :20] == 0).all()
    assert (second[:, 20:] == 128).all()


def test_spatial_projections_of_gmlp_only():
    assert spatial_projections(tiny("ConvMixer")) is None
    model = tiny("gMLP")
    weights = np.zeros((16, 16), np.float32)
    weights[3, 0] = 1  # the position at the upper left looks at the one at the upper right
    model.blocks[1].sgu.spatial_proj.weight.set_value(paddle.to_tensor(weights))
    picture = spatial_projections(model)
    height = picture.shape[0] // 2
    second = picture[height:, 72:]
    first_map = second[4:60, 4:60]
    red = (first_map[..., 0] > 150) & (first_map[..., 1] < 60)
    rows, columns = np.nonzero(red)
    assert rows.max() < 14
    assert columns.min() >= 42


def test_a_model_without_a_known_first_convolution():
    with pytest.raises(ConfigError, match="first_conv"):
        first_filters(paddle.nn.Linear(2, 2))
