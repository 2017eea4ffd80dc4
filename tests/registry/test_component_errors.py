"""Other people's components that fail while they run: the error names the component and the line, and has a cause."""

import textwrap

import numpy as np
import paddle
import pytest

import ppcls
from ppcls.errors import ConfigError, DataError
from ppcls.loss import build_loss
from ppcls.metric import build_metrics
from ppcls.optimizer import build_schedule

PARTS = """
    import numpy as np
    import ppcls
    from ppcls.data.datasets import Dataset
    from ppcls.loss import Loss
    from ppcls.metric import Metric
    from ppcls.optimizer import Schedule
    from ppcls.optimizer.schedule_base import Timing

    @ppcls.LOSSES.register
    class BadLoss:
        def __call__(self, logits, targets):
            return logits.nothing

    @ppcls.LOSSES.register
    class BadSubclass(Loss):
        def sample_losses(self, logits, labels):
            return logits.nothing

    @ppcls.METRICS.register
    class BadMetric:
        def update(self, logits, targets):
            raise KeyError("top9")

        def result(self):
            return 1 / 0

    @ppcls.SCHEDULES.register
    class BadSchedule:
        def __init__(self, fails_at: int):
            self.fails_at = fails_at

        def lr_at(self, step):
            return ([0.1] * self.fails_at)[step]

    @ppcls.SCHEDULES.register
    class Follower:
        def __init__(self):
            self.rate = 1.0

        def lr_at(self, step):
            return self.rate

        def on_evaluation(self, step, metric, loss):
            self.rate = self.rate / 2 if loss > 1 else self.rate

        def state(self):
            return {"rate": self.rate}

        def load_state(self, state):
            self.rate = state["rate"]

    @ppcls.SCHEDULES.register
    class Forgetful:
        def lr_at(self, step):
            return 0.1

        def state(self):
            return {}

    @ppcls.DATASETS.register
    class BadData:
        class_names = ["a", "b"]
        labels = [0, 1, 0, 1]

        def __len__(self):
            return 4

        def __getitem__(self, index):
            if index == 2:
                raise RuntimeError("gone")
            return np.zeros((8, 8, 3), np.uint8), self.labels[index]

    @ppcls.DATASETS.register
    class BadDataset(Dataset):
        def __init__(self):
            super().__init__(np.array([0, 1, 0, 1]), ["a", "b"], "error")

        def read(self, index):
            if index == 2:
                raise RuntimeError("gone")
            return np.zeros((8, 8, 3), np.uint8)

        def describe(self, index):
            return f"BadDataset[{index}]"

    @ppcls.TRANSFORMS.register
    def BadTransform():
        return lambda image: image / "x"
"""


@pytest.fixture
def parts(tmp_path):
    """Return the path of an imported file whose components fail when they are used."""
    path = tmp_path / "parts.py"
    path.write_text(textwrap.dedent(PARTS))
    ppcls.import_components(path)
    return path


LOGITS, LABELS = np.zeros((2, 3), np.float32), np.array([0, 1])


@pytest.mark.parametrize(("name", "line"), [("BadLoss", 13), ("BadSubclass", 18)])
def test_a_loss(parts, name, line):
    criterion = build_loss([{name: None}])
    with pytest.raises(ConfigError, match=rf"{name}: {parts}:{line}: AttributeError: .*'nothing'") as caught:
        criterion.per_sample(paddle.to_tensor(LOGITS), paddle.to_tensor(LABELS))
    assert isinstance(caught.value.__cause__, AttributeError)


def test_memory_that_runs_out_in_a_loss_is_not_its_mistake(parts):
    @ppcls.LOSSES.register
    class Hungry:
        def __call__(self, logits, targets):
            raise RuntimeError("ResourceExhaustedError: Fail to alloc memory of 1 EB")

    with pytest.raises(RuntimeError, match="ResourceExhausted"):
        build_loss([{"Hungry": None}]).per_sample(paddle.to_tensor(LOGITS), paddle.to_tensor(LABELS))


def test_a_metric(parts):
    metrics = build_metrics([{"BadMetric": None}])
    with pytest.raises(ConfigError, match=rf"BadMetric\.update: {parts}:23: KeyError: 'top9'") as caught:
        metrics.update(paddle.to_tensor(LOGITS), paddle.to_tensor(LABELS))
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(ConfigError, match=rf"BadMetric\.result: {parts}:26: ZeroDivisionError"):
        metrics.result()


def test_a_schedule(parts):
    schedule = build_schedule({"name": "BadSchedule", "fails_at": 3}, epochs=2, steps_per_epoch=4)
    assert schedule.lr_at(2) == 0.1
    with pytest.raises(ConfigError, match=rf"BadSchedule\.lr_at\(3\): {parts}:34: IndexError") as caught:
        schedule.lr_at(3)
    assert isinstance(caught.value.__cause__, IndexError)


def test_a_schedule_may_follow_evaluations_and_keep_a_state(parts):
    schedule = build_schedule({"name": "Follower"}, epochs=2, steps_per_epoch=4)
    assert schedule.follows_evaluations
    schedule.on_evaluation(4, metric=0.5, loss=2.0)
    schedule.on_evaluation(8, metric=0.5, loss=0.5)
    assert schedule.lr_at(8) == 0.5
    resumed = build_schedule({"name": "Follower"}, epochs=2, steps_per_epoch=4)
    resumed.load_state(schedule.state())
    assert resumed.lr_at(8) == 0.5
    with pytest.raises(ConfigError, match=r"Forgetful: a schedule that has one of state\(\) and load_state"):
        build_schedule({"name": "Forgetful"}, epochs=2, steps_per_epoch=4)


def data_recipe(folder, workers, dataset, ops):
    section = {
        "dataset": {**dataset, "transform_ops": [*ops, {"NormalizeImage": {"order": ""}}, {"ToCHWImage": None}]},
        "sampler": {"batch_size": 2},
        "loader": {"num_workers": workers},
    }
    return {
        "Global": {
            "epochs": 1,
            "device": "cpu",
            "output_dir": str(folder / "out"),
            "image_shape": (3, 8, 8),
            "eval_during_train": False,
        },
        "Arch": {"name": "ConvMixer", "class_num": 2, "dim": 4, "depth": 1, "kernel_size": 3, "patch_size": 2},
        "Loss": {"Train": [{"CELoss": None}]},
        "Optimizer": {"name": "SGD", "lr": {"name": "Constant", "learning_rate": 0.1}},
        "DataLoader": {"Train": section},
    }


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(("name", "line"), [("BadData", 71), ("BadDataset", 81)])
def test_a_data_set(parts, tmp_path, workers, name, line):
    config = ppcls.load_config(data_recipe(tmp_path, workers, {"name": name}, []))
    with pytest.raises(DataError, match=rf"^{name}\[2\]: {parts}:{line}: RuntimeError: gone") as caught:
        ppcls.train(config)
    cause = caught.value.__cause__
    assert isinstance(cause, RuntimeError)
    assert "gone" in str(cause)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_transform(parts, tmp_path, workers):
    @ppcls.DATASETS.register
    class Squares:
        labels = (0, 1, 0, 1)

        def __len__(self):
            return 4

        def __getitem__(self, index):
            return np.zeros((8, 8, 3), np.uint8), self.labels[index]

    config = ppcls.load_config(data_recipe(tmp_path, workers, {"name": "Squares"}, [{"BadTransform": None}]))
    with pytest.raises(ConfigError, match=rf"BadTransform: {parts}:89: .*Error") as caught:
        ppcls.train(config)
    assert caught.value.__cause__ is not None


FAILING_MODEL = """
import paddle
import ppcls

@ppcls.BACKBONES.register
class Failing(paddle.nn.Layer):
    def __init__(self, class_num: int):
        super().__init__()
        self.head = paddle.nn.Linear(3, class_num)

    def forward(self, x):
        return self.head(x.missing)
"""


def test_a_model_that_fails_is_located_on_the_command_line(recipe, run, tmp_path):
    (tmp_path / "failing.py").write_text(FAILING_MODEL)
    changes = ("Arch={name: Failing, class_num: 10}", "Global.epochs=1")
    done = run("train", "-c", recipe, "--import", "failing.py", "-o", *changes, code=2)
    assert (
        f"model: Failing fails on images of Global.image_shape [3, 16, 16]: {tmp_path}/failing.py:12: " in done.stderr
    )
    assert "Traceback" not in done.stderr


SLOWLY_FAILING = """
import ppcls

@ppcls.OPTIMIZERS.register
class Failing:
    def __init__(self, learning_rate: float, parameters):
        self.parameters = parameters

    def step(self):
        raise ZeroDivisionError("at the first update")

    clear_grad = set_lr = state_dict = set_state_dict = lambda self, *arguments: None
"""


def test_what_no_adapter_guards_is_located_on_the_command_line(recipe, run, tmp_path):
    (tmp_path / "failing.py").write_text(SLOWLY_FAILING)
    changes = ("Optimizer={name: Failing, lr: {name: ConstLR, learning_rate: 0.1}}", "Global.epochs=1")
    done = run("train", "-c", recipe, "--import", "failing.py", "-o", *changes, code=2)
    assert f"error: {tmp_path}/failing.py:10: ZeroDivisionError: at the first update" in done.stderr
    assert "(--debug shows the traceback)" in done.stderr
    assert "Traceback" not in done.stderr
    done = run("train", "-c", recipe, "--import", "failing.py", "--debug", "-o", *changes, code=1)
    assert "Traceback" in done.stderr
