"""A run that an earlier version began, continued by this one: as that version would have."""

import numpy as np
import pytest

from ppcls.weights.paddle_reader import restricted_load
from tests.helpers.recipes import ROOT
from tests.helpers.runs import records, train

EARLIER = ROOT / "tests" / "earlier_versions" / "0.1.0"
# Stopped after batch 2 of 8 of the second epoch, and continued to its end by the same version.
CHANGES = (
    *("Global.epochs=2", "Global.seed=3", "Arch.dim=8", "Arch.depth=1", "EMA.decay=0.9"),
    "Optimizer={name: Momentum, momentum: 0.9, weight_decay: 0.001, lr: {name: Cosine, learning_rate: 0.05, "
    "warmup_epoch: 1}}",
)


def test_a_run_of_an_earlier_version_continues_as_it_would_have_there(recipe):
    done = train(recipe, *CHANGES, f"Global.checkpoints={EARLIER}/interrupted/latest")
    assert "interrupted/latest: epoch 2, batch 2, update 10" in done.stderr
    out = recipe.parent / "out"
    for name in ("latest.pdparams", "latest_raw.pdparams"):
        found, expected = restricted_load(out / name), restricted_load(EARLIER / "continued" / name)
        before = restricted_load(EARLIER / "interrupted" / name)
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            if isinstance(value, np.ndarray):
                # Bit for bit on the processor of that run; others round differently.
                moved = np.abs(value - before[key]).max()
                assert np.abs(found[key] - value).max() <= 1e-3 * moved + 1e-6, key
    (ema,) = [record for record in records(out) if record["kind"] == "eval_ema"]
    assert ema["loss"] == pytest.approx(2.3573, abs=1e-3)
