"""The report of a run that was stopped."""

import json
import signal
import time

from tests.helpers.forks import Fork
from tests.report.pages import Page

LONG = ("Global.report=true", "Global.epochs=1000")


def test_an_interrupted_run_leaves_a_page_of_its_last_epoch(recipe):
    """The page of the first epoch would be refreshed 20 seconds later."""
    metrics, page = (recipe.parent / "out" / name for name in ("metrics.jsonl", "report.html"))
    process = Fork("train", "-c", recipe, "-o", *LONG, cwd=recipe.parent)
    try:
        while process.poll() is None and not (metrics.exists() and metrics.read_text().count('"eval"') >= 3):
            time.sleep(0.01)
        assert "1 of 1000 epochs: not finished" in Page(page).sections["result"]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(60)
    assert process.returncode == 130
    states = json.loads((recipe.parent / "out" / "latest.pdstates").read_text())
    assert states["epoch"] >= 3
    written = Page(page).check()
    assert f"{states['epoch']} of 1000 epochs: stopped" in written.sections["result"]
    assert "when the run was stopped" in written.source


def test_a_run_that_is_interrupted_before_there_is_something_to_show_has_no_page(recipe):
    process = Fork("train", "-c", recipe, "-o", *LONG, "Global.print_batch_step=1", cwd=recipe.parent)
    metrics = recipe.parent / "out" / "metrics.jsonl"
    while process.poll() is None and not (metrics.exists() and metrics.read_text()):
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    process.communicate(60)
    states = json.loads((recipe.parent / "out" / "latest.pdstates").read_text())
    assert (recipe.parent / "out" / "report.html").exists() == bool(states["epoch"])
