"""Callbacks in several processes: what one of them does ends the run in all, and nobody waits for the others."""

import json

import pytest

from tests.distributed.jobs import PART

pytestmark = pytest.mark.slow

CALLBACKS = """
import ppcls
from ppcls.utils import distributed

@ppcls.CALLBACKS.register
class FailsOnOneRank:
    def on_step(self, run):
        if distributed.rank() == 1 and run.state.step == 3:
            raise ValueError("only here")

@ppcls.CALLBACKS.register
class StopsOnOneRank:
    def on_epoch(self, run):
        if distributed.rank() == 1:
            run.stop("rank 1 has seen enough")
"""


def test_what_one_process_does_ends_all(recipe, pair, tmp_path):
    parts = tmp_path / "parts.py"
    parts.write_text(CALLBACKS)
    changes = (PART, "Global.epochs=2", f"Global.imports=[{parts}]")
    started = pair("train", recipe, *changes, "Callbacks=[{FailsOnOneRank: {}}]")
    _, said = started.finish((2, 2))
    for rank in range(2):
        assert "callback FailsOnOneRank.on_step: ValueError: only here" in started.log(rank)
    # The other process hears of it with the exchange of the next step.
    assert "The run is saved, in epoch 1 after batch 4/8; continue with" in said
    assert "lost the others" not in said
    assert json.loads((tmp_path / "out" / "latest.pdstates").read_text())["step"] == 4

    callbacks = "Callbacks=[{VisualDL: {}}, {StopsOnOneRank: {}}]"
    out, said = pair("train", recipe, *changes, callbacks, "Global.checkpoints=auto", "Global.log_ranks=0,1").finish()
    assert json.loads(out[out.rindex("{") :])["epoch"] == 1
    assert "rank 1 has seen enough" in said
    assert "another process asked training to end" in said
    assert len(list((tmp_path / "out" / "vdl").glob("vdlrecords.*"))) == 1  # a tracker is the first process's
