"""Threads and MKL, chosen in a fresh process."""

import contextlib
import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ppcls.utils import environment
from tests.helpers.recipes import ROOT

SHOW = (
    "from ppcls.utils import environment as e; e.prepare(); "
    "import os; print(os.environ.get('OMP_NUM_THREADS')); print(e.describe())"
)


def prepared(code=SHOW, **environment):
    kept = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "MKL_DEBUG_CPU_TYPE")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**kept, "PYTHONPATH": str(ROOT), **environment},
        check=True,
    )
    return done.stdout.splitlines()


def test_all_usable_cores_by_default():
    threads, line = prepared()
    assert int(threads) <= len(os.sched_getaffinity(0))
    assert f"CPU threads: {threads} (chosen here, override with OMP_NUM_THREADS)" in line


def test_processes_of_one_machine_share_its_cores():
    assert prepared(PADDLE_TRAINERS_NUM="64")[0] == "1"


def test_the_user_has_the_last_word():
    threads, line = prepared(OMP_NUM_THREADS="7", MKL_DEBUG_CPU_TYPE="5")
    assert threads == "7"
    assert "CPU threads: 7 (set by the user with OMP_NUM_THREADS)" in line
    assert "MKL code path: 5 (set by the user with MKL_DEBUG_CPU_TYPE)" in line


def test_too_late_is_said():
    code = f"import paddle; {SHOW}"
    line = prepared(code)[-1]
    assert "CPU threads: 1 (paddle was imported before ppcls" in line


def test_amd_processors_take_the_fast_path():
    file = Path("/proc/cpuinfo")
    cpu = file.read_text() if file.exists() else ""
    expected = None if "AuthenticAMD" not in cpu else "7" if "avx512f" in cpu else "5" if "avx2" in cpu else None
    if expected is None:
        assert "MKL code path: default" in prepared()[1]
    else:
        assert f"MKL code path: {expected} (chosen here" in prepared()[1]


@pytest.mark.parametrize("collects", [True, False])
def test_garbage_collection_is_as_before_after_a_large_import(collects):
    before = gc.isenabled()
    (gc.enable if collects else gc.disable)()
    try:
        with contextlib.suppress(ImportError), environment._without_garbage_collection():
            assert not gc.isenabled()
            raise ImportError
        assert gc.isenabled() is collects
    finally:
        (gc.enable if before else gc.disable)()


@pytest.mark.parametrize("statement", ["ppcls.create_model", "ppcls.load_config"])
def test_the_public_api_prepares_before_paddle_is_imported(statement):
    code = f"import ppcls; {statement}; import os; print(os.environ['OMP_NUM_THREADS'])"
    assert int(prepared(code)[0]) >= 1


@pytest.mark.parametrize("first", ["ppcls.load_config", "ppcls.engine.load_config", "ppcls.weights.create_model"])
def test_png_files_can_be_decoded_after_paddle_was_imported(first, tmp_path):
    """Whichever part of the package imports Paddle 2.6, OpenCV must have been loaded before."""
    import cv2
    import numpy as np

    cv2.imwrite(str(tmp_path / "a.png"), np.arange(256, dtype=np.uint8).reshape(16, 16))
    code = (
        f"import importlib, sys; importlib.import_module('{first}'.rpartition('.')[0]).{first.rpartition('.')[2]}; "
        " assert 'paddle' in sys.modules; "
        "from ppcls.data.transforms.decode import decode_image; "
        f"print(decode_image(open(r'{tmp_path}/a.png', 'rb').read()).shape)"
    )
    assert prepared(code) == ["(16, 16, 3)"]
