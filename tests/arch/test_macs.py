"""Multiply-adds: closed forms, and what the specs claim."""

import paddle
import pytest
from paddle import nn

from ppcls.arch import spec
from ppcls.arch.macs import count_macs
from ppcls.arch.summary import layers_and_macs, summary
from ppcls.weights import create_model


class Small(nn.Layer):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2D(3, 8, 3, stride=2, padding=1)
        self.depthwise = nn.Conv2D(8, 8, 5, padding=2, groups=8)
        self.mix = self.create_parameter([16, 16])
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        x = self.depthwise(self.conv(x)).flatten(2)  # [B, 8, 16]
        x = paddle.matmul(x, self.mix) + paddle.matmul(x, self.mix, transpose_y=True)
        return self.head(x.mean(2))


def test_every_product_is_counted():
    conv, depthwise = 16 * 8 * 27, 16 * 8 * 25
    expected = conv + depthwise + 2 * 8 * 16 * 16 + 80
    model = Small()
    assert count_macs(model, (3, 8, 8)) == {"total": expected, "depthwise": depthwise}
    assert model.training
    model(paddle.zeros([2, 3, 8, 8]))  # the model itself was not changed


# Larger variants repeat the operations of these. What the specs of all state is counted in test_models.py.
@pytest.mark.parametrize("name", ["ConvMixer_256_8", "ConvMLP_S", "CycleMLP_B1", "gMLP_Ti16"])
def test_the_specs_state_what_is_counted(name):
    facts = spec(name)
    size = (3, facts.image_size, facts.image_size)
    assert count_macs(create_model(name, class_num=facts.class_num), size)["total"] == facts.macs


def test_convmixer_as_quoted_leaves_the_depthwise_convolutions_out():
    macs = count_macs(create_model("ConvMixer_1024_20"), (3, 224, 224))
    assert (macs["total"] - macs["depthwise"]) / 1e9 == pytest.approx(5.55, rel=0.01)


def test_the_summary_lists_layers_in_order_with_their_shapes():
    model = create_model("ConvMixer_256_8", class_num=10)
    rows, _ = layers_and_macs(model, (3, 32, 32))
    assert rows[0].name == "stem.conv"
    assert rows[0].shape == (1, 256, 16, 16)
    assert rows[-1].name == "head"
    assert sum(row.params for row in rows) == 594_186
    text = summary(model, (3, 32, 32))
    assert "parameters: 594,186" in text
    assert "MACs: 0.148 G" in text
