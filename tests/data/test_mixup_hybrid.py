"""PaddleClas's MixupCutmixHybrid: ours, with smoothed targets."""

import numpy as np
import pytest

from ppcls.data.batch_transforms import BatchCompose
from ppcls.errors import ConfigError

CLASSES = 5


@pytest.mark.parametrize("count", [1, 6])
def test_hybrid_is_the_operator_with_smoothed_targets(count):
    arguments = {"mixup_alpha": 0.8, "cutmix_alpha": 1.0, "switch_prob": 0.5}
    results = []
    for name, more in (("MixupCutmixOperator", {}), ("MixupCutmixHybrid", {"num_classes": CLASSES})):
        images = np.random.default_rng(0).random((count, 3, 8, 8), np.float32)
        mixed = BatchCompose([{name: {**arguments, **more}}], CLASSES)
        targets = mixed(images, np.arange(count) % CLASSES, 0, np.random.default_rng(1))
        results.append((images, targets))
    (plain_images, plain), (images, targets) = results
    np.testing.assert_array_equal(images, plain_images)
    np.testing.assert_allclose(targets, 0.9 * plain + 0.1 / CLASSES, rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 4}, "num_classes: is 4, but Arch.class_num is 5; leave it out here"),
        ({"label_smoothing": 1}, "label_smoothing: must be"),
        ({"mixup_alpha": 0}, "there is nothing to mix"),
    ],
)
def test_mistakes(arguments, message):
    with pytest.raises(ConfigError, match=r"batch_transform_ops\[0\].MixupCutmixHybrid") as caught:
        BatchCompose([{"MixupCutmixHybrid": arguments}], CLASSES)
    assert message in str(caught.value)
