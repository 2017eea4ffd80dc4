"""Components of other people's code: their arguments, and what they return, are checked."""

import json
import textwrap

import numpy as np
import pytest

import ppcls
from ppcls.errors import ConfigError
from ppcls.registry import Registry


def write(path, text):
    path.write_text(textwrap.dedent(text))
    return path


def test_a_constructor_that_fails_is_a_mistake_of_the_recipe(tmp_path, recipe):
    parts = write(
        tmp_path / "parts.py",
        """
        import ppcls

        @ppcls.TRANSFORMS.register
        class Broken:
            def __init__(self, sides):
                self.area = sides["wrong"]
        """,
    )
    changes = [f"Global.imports=[{parts}]", "DataLoader.Eval.dataset.transform_ops=[{Broken: {sides: [1, 2]}}]"]
    with pytest.raises(ConfigError, match=rf"transform_ops\.0\.Broken: of {parts}: {parts}:7: TypeError: list indices"):
        ppcls.load_config(recipe, changes)


def test_what_the_calling_code_provides_is_passed_by_name(tmp_path):
    write(
        tmp_path / "parts.py",
        """
        import paddle, ppcls

        @ppcls.LOSSES.register
        class NeedsClasses:
            def __init__(self, class_num, power=1):
                self.scale = class_num ** power

            def __call__(self, logits, targets):
                return logits.sum(1) * self.scale

        @ppcls.OPTIMIZERS.register
        def PlainSGD(learning_rate, parameters, momentum=0.5):
            return paddle.optimizer.Momentum(learning_rate, momentum, parameters)

        @ppcls.SCHEDULES.register
        class Halving:
            def __init__(self, learning_rate: float, epochs, steps_per_epoch):
                self.rate, self.steps = learning_rate, steps_per_epoch

            def lr_at(self, step):
                return self.rate / 2 ** (step // self.steps)

        @ppcls.DATASETS.register
        class Squares:
            class_names = ["dark", "bright"]

            def __init__(self, count, train):
                self.count = count if train else 4

            def __len__(self):
                return self.count

            def __getitem__(self, index):
                import numpy as np

                return np.full((8, 8, 3), 255 * (index % 2), np.uint8), index % 2
        """,
    )
    ppcls.import_components(tmp_path / "parts.py")
    assert [parameter.name for parameter in ppcls.LOSSES["NeedsClasses"].parameters()] == ["power"]
    normalize = [{"NormalizeImage": {"order": ""}}, {"ToCHWImage": None}]
    recipe = {
        "Global": {"epochs": 2, "device": "cpu", "output_dir": str(tmp_path / "out"), "image_shape": (3, 8, 8)},
        "Arch": {"name": "ConvMixer", "class_num": 2, "dim": 4, "depth": 1, "kernel_size": 3, "patch_size": 2},
        "Loss": {"Train": [{"NeedsClasses": {"power": 2}}]},
        "Optimizer": {"name": "PlainSGD", "momentum": 0.1, "lr": {"name": "Halving", "learning_rate": 1e-2}},
        "DataLoader": {
            side: {
                "dataset": {"name": "Squares", "count": np.int64(8), "transform_ops": normalize},
                "sampler": {"batch_size": 4},
                "loader": {"num_workers": 0},
            }
            for side in ("Train", "Eval")
        },
    }
    ppcls.train(ppcls.load_config(recipe))
    states = json.loads((tmp_path / "out" / "latest.pdstates").read_text())
    assert states["class_names"] == ["dark", "bright"]
    assert [record["name"] for record in states["config"]["Global"]["imported"]] == ["parts.py"]
    lines = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    rates = [line["lr"] for line in lines if "lr" in line]
    assert rates[0] == 1e-2
    assert rates[-1] == 5e-3


def test_registries_check_what_other_peoples_code_makes():
    registry = Registry("schedule", interface=("lr_at",), base="ppcls.optimizer.Schedule")
    registry.register(lambda: {"no": "schedule"}, name="Wrong")
    with pytest.raises(
        ConfigError, match=r"Wrong: of .*test_components\.py: every schedule needs lr_at, which dict does not"
    ):
        registry.build("Wrong")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda image: None, "returned NoneType, not an array"),
        (lambda image: image.nothing, r"AttributeError: .*'nothing' \(got uint8 array of shape \[2, 2, 3\]\)"),
    ],
)
def test_a_transform_that_fails_is_named(function, message):
    ppcls.TRANSFORMS.register(lambda: function, name="Failing")
    from ppcls.data.transforms import build_transforms

    transforms = build_transforms([{"Failing": None}])
    with pytest.raises(ConfigError, match=f"Failing: .*{message}"):
        transforms(np.zeros((2, 2, 3), np.uint8), np.random.default_rng(0))


def test_a_transform_may_be_random_or_not(tmp_path):
    ppcls.TRANSFORMS.register(lambda: lambda image: image + 1, name="Plain")
    ppcls.TRANSFORMS.register(lambda: lambda image, rng: image + rng.integers(5, 6, dtype=np.uint8), name="Random")
    ppcls.TRANSFORMS.register(lambda: lambda image, rng, third: image, name="TooMany")
    from ppcls.data.transforms import build_transforms

    image = np.zeros((2, 2, 3), np.uint8)
    made = build_transforms([{"Plain": None}, {"Random": {}}])(image, np.random.default_rng(0))
    np.testing.assert_array_equal(made, image + 6)
    with pytest.raises(ConfigError, match=r"called with \(image, rng\) or \(image\)"):
        build_transforms([{"TooMany": None}])
