"""Running out of memory ends with advice: real processes whose memory is limited."""

import subprocess
import sys

import pytest

from ppcls.utils.memory import is_out_of_memory
from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits memory as Linux does")

SCRIPT = """
import resource
import sys

import numpy as np

import ppcls

what, folder = sys.argv[1:]
pixels = np.random.default_rng(0).integers(0, 256, (128, 64, 64, 3), np.uint8)
many = [(image, number % 2) for number, image in enumerate(pixels)]
few = many[:8]
sizes = {"Train": 128 if what == "train" else 4, "Eval": 128 if what == "eval" else 4}


def limit():
    '''Allow 100 MB more than is in use.'''
    pages = int(open("/proc/self/statm").read().split()[0])
    size = pages * resource.getpagesize() + 100 * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))


class Limit:
    def on_train_begin(self, run):
        if what == "train":
            limit()

    def on_epoch(self, run):
        if what == "eval":
            limit()


recipe = {
    "Global": {"epochs": 1, "device": "cpu", "output_dir": folder, "image_shape": [3, 64, 64], "report": False},
    "Arch": {"name": "ConvMixer", "dim": 48, "depth": 3, "kernel_size": 3, "patch_size": 1},
    "Optimizer": {"name": "SGD", "lr": {"name": "ConstLR", "learning_rate": 1e-4}},
    "DataLoader": {side: {"sampler": {"batch_size": size}} for side, size in sizes.items()},
}
try:
    result = ppcls.train(
        recipe,
        train_dataset=many if what == "train" else few,
        eval_dataset=many if what == "eval" else few,
        callbacks=[Limit()],
    )
    predictor = result.load_predictor(batch_size=128)
    limit()
    predictor.predict([image for image, _ in many])
except ppcls.PpclsError as error:
    print(f"{type(error).__name__}: {error}")
"""

MESSAGES = {
    "train": "TrainingError: memory ran out with batches of 128 images (DataLoader.Train.sampler.batch_size): halve "
    "the batch: -o DataLoader.Train.sampler.batch_size=64 Global.update_freq=2, which makes the same updates of 128 "
    "images; or compute activations again instead of keeping them: -o Arch.recompute=true; or use smaller images",
    "eval": "MachineError: memory ran out with batches of 128 images (DataLoader.Eval.sampler.batch_size): halve the "
    "batch: -o DataLoader.Eval.sampler.batch_size=64; or use smaller images",
    "infer": "MachineError: memory ran out with batches of 128 images (the batch size of inference): halve the batch: "
    "--batch-size 64, -o Infer.batch_size=64 or, in Python, batch_size=64; or use smaller images",
}


@pytest.mark.parametrize("what", MESSAGES)
def test_the_message_names_a_batch_size(what, tmp_path):
    command = [sys.executable, "-c", SCRIPT, what, str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=120)
    assert done.stdout.strip() == MESSAGES[what], done.stderr


def test_memory_that_runs_out_in_a_backward_pass():
    """Paddle turns the error of an operator in Python into one of its own."""
    assert is_out_of_memory(OSError("(External) MemoryError: Unable to allocate 2.00 GiB for an array"))
    assert not is_out_of_memory(OSError("(External) ValueError: something else"))
