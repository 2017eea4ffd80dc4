"""What several tests need: a small real data set, recipes for it, and the command line."""

import os
import signal

import pytest

# A shell starts what it runs in the background (`make test &`) with Ctrl-C ignored, and every process of a test would
# inherit that: the tests that press Ctrl-C need it back.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Two test processes share two cores: one thread each. Set before paddle is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from ppcls.utils import environment

environment.prepare()

from tests.helpers.command_line import forgotten_imports, run_ppcls, run_process  # noqa: E402
from tests.helpers.forks import run_fork  # noqa: E402
from tests.helpers.recipes import ROOT, write_recipe  # noqa: E402

pytest_plugins = ["tests.helpers.serving"]


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory):
    """Keep what tests measure and download out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PPCLS_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def forget_imports():
    """Forget the components that a test imports: the next test may register the same names, or list what there is."""
    with forgotten_imports():
        yield


@pytest.fixture(scope="session")
def shared():
    """Return the folder of reference data beside the checkout, or skip."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the reference data (../shared) is not here")
    return folder


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """Return a folder with 120 training and 40 validation pictures of handwritten digits, and their lists."""
    import cv2
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("digits")
    data = load_digits()
    lists = {"train": [], "val": []}
    for index in range(160):
        split = "val" if index % 4 == 0 else "train"
        name = f"{split}/{index:03d}.png"
        (folder / split).mkdir(exist_ok=True)
        cv2.imwrite(str(folder / name), cv2.resize((data.images[index] * 15).astype("uint8"), (16, 16)))
        lists[split].append(f"{name} {data.target[index]}\n")
    for split, lines in lists.items():
        (folder / f"{split}_list.txt").write_text("".join(lines))
    (folder / "labels.txt").write_text("".join(f"{i} digit-{i}\n" for i in range(10)))
    return folder


@pytest.fixture
def recipe(digits, tmp_path):
    """Return the path of a recipe that trains a tiny ConvMixer on ``digits``, one second an epoch."""
    return write_recipe(digits, tmp_path)


@pytest.fixture
def run(tmp_path):
    """Return a function that runs ``ppcls``, checks its exit code unless that is None, and returns what it said.

    It runs in the test's process (see ``tests.helpers.command_line``); ``process=True`` gives it one of its own, for
    what only a process shows: its start, its end, signals, standard streams. ``limit`` gives it a forked one (see
    ``tests.helpers.forks``) that can write no larger files.
    """

    def call(*arguments, cwd=tmp_path, process=False, limit=None, **options):
        if limit is not None:
            return run_fork(*arguments, cwd=cwd, limit=limit, **options)
        return (run_process if process else run_ppcls)(*arguments, cwd=cwd, **options)

    return call


@pytest.fixture(scope="session")
def trained(digits, tmp_path_factory):
    """Return a folder with ``recipe.yaml`` and, in ``out``, the run that it gave; to be left as it is."""
    folder = tmp_path_factory.mktemp("trained")
    recipe = write_recipe(digits, folder)
    run_ppcls("train", "-c", recipe, "-o", "Global.epochs=10", cwd=folder)
    return folder


@pytest.fixture(scope="session")
def models(trained):
    """Return the folder ``trained`` when ``inference`` there has its export for Paddle and for ONNX Runtime."""
    pytest.importorskip("paddle2onnx")
    pytest.importorskip("onnxruntime")
    weights = "Global.pretrained_model=out/best_model"
    run_ppcls("export", "-c", trained / "recipe.yaml", "--self-contained", "-o", weights, cwd=trained)
    return trained
