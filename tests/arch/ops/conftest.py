"""Tests of the CPU operators need the library that computes them."""

import pytest

from ppcls.arch.ops import dispatch, onednn


@pytest.fixture(autouse=True)
def _onednn():
    if not dispatch.available():
        pytest.skip(dispatch.describe())
    assert onednn.load().version
