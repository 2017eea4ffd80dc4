"""A run with everything that could be lost on the way, interrupted and resumed."""

import signal
import time

import pytest

from tests.helpers.recipes import MIXED_IMAGES, write_recipe
from tests.helpers.runs import digests, finish, interrupt_evaluation, records, resume_from_latest, start, train

# Everything that could be lost on the way, saved at every update.
EVERYTHING = (
    *("Global.epochs=3", "Global.update_freq=2", "Global.save_every_minutes=0", "EMA.decay=0.9", MIXED_IMAGES),
    *("Global.freeze=[stem]", "Optimizer.layer_decay=0.7", "DataLoader.Train.sampler.name=RASampler"),
)


def interrupt(recipe, how, monkeypatch):
    out = recipe.parent / "out"
    if how == "evaluation":
        with monkeypatch.context() as patched:
            # The second time that the average is evaluated, with its weights in the model.
            interrupt_evaluation(patched, 4)
            train(recipe, *EVERYTHING, code=130)
        return
    process = start(recipe, *EVERYTHING)
    while process.poll() is None and not (out / "metrics.jsonl").exists():
        time.sleep(0.02)
    while process.poll() is None and len(records(out)) < 3:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT if how == "signal" else signal.SIGKILL)
    assert finish(process)[0] == (130 if how == "signal" else -9)


@pytest.fixture(scope="module")
def whole(digits, tmp_path_factory):
    """Return the folder of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    train(write_recipe(digits, folder), *EVERYTHING)
    return folder / "out"


@pytest.mark.parametrize("how", ["signal", "kill", "evaluation"])
def test_interrupted_and_resumed_equals_uninterrupted(recipe, whole, how, monkeypatch):
    out = recipe.parent / "out"
    interrupt(recipe, how, monkeypatch)
    train(recipe, *EVERYTHING, *resume_from_latest(out))
    assert digests(out) == digests(whole)
    assert (out / "latest_raw.pdparams").read_bytes() == (whole / "latest_raw.pdparams").read_bytes()
    assert records(out) == records(whole)
