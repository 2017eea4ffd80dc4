"""A tiny exported model, servers of it in processes of their own, and a photo for them: fixtures for all tests."""

import contextlib
import signal
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from tests.helpers.command_line import run_ppcls, start_process
from tests.helpers.forks import Fork
from tests.helpers.recipes import ROOT, write_recipe


class Server:
    """A server process.

    Attributes:
        url: where it listens.
        process: for signals and its memory.
    """

    def __init__(self, process, url, log):
        self.process, self.url, self._log = process, url, log

    def log(self):
        """Return what it has written to standard error."""
        return self._log.read_text()

    def memory(self):
        """Return its resident memory in megabytes."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

    def alive(self):
        """Fail if the process has ended."""
        assert self.process.poll() is None, self.log()

    def stop(self, number=signal.SIGTERM, timeout=30):
        """Send a signal; return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout)


@pytest.fixture(scope="session")
def exported(digits, tmp_path_factory):
    """Return the folder of a tiny ConvMixer, exported."""
    folder = tmp_path_factory.mktemp("served")
    recipe = write_recipe(digits, folder)
    values = yaml.safe_load(recipe.read_text())
    values["DataLoader"]["Eval"]["dataset"]["transform_ops"].insert(1, {"ResizeImage": {"size": 16}})
    recipe.write_text(yaml.safe_dump(values))
    weights = f"Global.pretrained_model={folder}/out/latest"
    names = f"Infer.PostProcess.class_id_map_file={digits}/labels.txt"
    for command, change in (("train", "Global.epochs=1"), ("export", weights)):
        run_ppcls(command, "-c", recipe, "-o", change, names, cwd=folder)
    return folder / "inference"


def _fork(command, log, environment):
    return Fork(*command, cwd=ROOT, environment=environment, log=log)


def _start(command, log, environment):
    with log.open("w") as errors:
        started = start_process(*command, cwd=ROOT, environment=environment, stdout=subprocess.PIPE, stderr=errors)
    started.first_line = started.stdout.readline
    return started


@pytest.fixture(scope="session")
def start(exported, tmp_path_factory):
    """Return a context manager that runs ``ppcls serve`` with further options."""

    @contextlib.contextmanager
    def run(*options, model=exported, environment=None, process=False):
        """Start a server, a forked process unless ``process`` is true: for what is read when Python starts."""
        log = tmp_path_factory.mktemp("log") / "stderr"
        command = ("serve", model, "--port", "0", *options)
        started = (_start if process else _fork)(command, log, environment)
        try:
            line = started.first_line()
            assert line.startswith("serving ConvMixer at http://127.0.0.1:"), log.read_text()
            yield Server(started, line.split()[-1], log)
        finally:
            started.kill()
            started.wait()

    return run


def encode(image, suffix=".png"):
    """Return an image file's bytes."""
    return cv2.imencode(suffix, image)[1].tobytes()


@pytest.fixture(scope="session")
def photo():
    """Return a PNG file's bytes; its lower half is brighter."""
    image = np.random.default_rng(0).integers(0, 120, (16, 16, 3), np.uint8)
    image[8:] += 120
    return encode(image)
