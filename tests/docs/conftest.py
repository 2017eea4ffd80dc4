"""The data, runs and exports that the blocks of pages use."""

import fcntl
import os
import shutil

import pytest

from tests.docs import world as worlds


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """Return the folder that the working folders of pages are copies of; all test processes share it."""
    pytest.importorskip("sklearn.datasets", reason="its pictures are the data")
    root = tmp_path_factory.getbasetemp()
    root = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "world"
    done = root.with_suffix(".done")
    with root.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(root, ignore_errors=True)
            root.mkdir()
            worlds.build(root)
            done.touch()
    return root
