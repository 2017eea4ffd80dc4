"""A tiny exported model, and servers of it as real processes."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
import yaml

from tests.helpers.recipes import ROOT, write_recipe


@pytest.fixture(scope="session", autouse=True)
def _extra():
    for name in ("fastapi", "uvicorn", "python_multipart", "prometheus_client"):
        pytest.importorskip(name, reason='needs pip install "ppcls[serve]"')


@pytest.fixture(scope="session")
def exported(digits, tmp_path_factory):
    """Return the folder of a tiny ConvMixer, exported."""
    folder = tmp_path_factory.mktemp("served")
    recipe = write_recipe(digits, folder)
    values = yaml.safe_load(recipe.read_text())
    values["DataLoader"]["Eval"]["dataset"]["transform_ops"].insert(1, {"ResizeImage": {"size": 16}})
    recipe.write_text(yaml.safe_dump(values))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    weights = f"Global.pretrained_model={folder}/out/latest"
    names = f"Infer.PostProcess.class_id_map_file={digits}/labels.txt"
    for command, change in (("train", "Global.epochs=1"), ("export", weights)):
        arguments = [sys.executable, "-m", "ppcls", command, "-c", str(recipe), "-o", change, names]
        done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return folder / "inference"


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
def start(exported, tmp_path_factory):
    """Return a context manager that runs ``ppcls serve`` with further options."""

    @contextlib.contextmanager
    def run(*options, model=exported, environment=None):
        log = tmp_path_factory.mktemp("log") / "stderr"
        command = [sys.executable, "-m", "ppcls", "serve", str(model), "--port", "0", *map(str, options)]
        values = {**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}
        with log.open("w") as errors:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=values)
        try:
            line = process.stdout.readline()
            assert line.startswith("serving ConvMixer at http://127.0.0.1:"), log.read_text()
            yield Server(process, line.split()[-1], log)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()

    return run


@pytest.fixture(scope="session")
def server(start):
    """Return a server with the default settings, for tests that leave it as it was."""
    with start() as running:
        yield running


@pytest.fixture
def client(server):
    """Return an HTTP client of ``server``."""
    with httpx.Client(base_url=server.url, timeout=30) as opened:
        yield opened


def encode(image, suffix=".png"):
    """Return an image file's bytes."""
    return cv2.imencode(suffix, image)[1].tobytes()


@pytest.fixture(scope="session")
def photo():
    """Return a PNG file's bytes; its lower half is brighter."""
    image = np.random.default_rng(0).integers(0, 120, (16, 16, 3), np.uint8)
    image[8:] += 120
    return encode(image)


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Return one browser for all tests of a file, and the folder of its downloads."""
    from tests.serving.page import browsing  # needs selenium

    downloads = tmp_path_factory.mktemp("downloads")
    with browsing(downloads) as browser:
        yield browser, downloads
