"""A training on a terminal: one row an epoch."""

import re

from ppcls.engine.epoch_table import Epoch, EpochTable
from ppcls.utils import terminal
from tests.helpers.terminals import lines_of, run_on_terminal


def test_rows_of_a_training(recipe, tmp_path):
    code, text = run_on_terminal("train", "-c", recipe, "-o", "Global.epochs=3", cwd=tmp_path, columns=100)
    assert code == 0
    lines = lines_of(text)
    assert max(map(len, lines)) <= 100
    (title,) = [line for line in lines if line.lstrip().startswith("epoch  ")]
    assert title.split() == ["epoch", "loss", "val", "loss", "top-1", "rate", "images/s", "left"]
    rows = [line for line in lines if re.match(r" *\d/3 ", line)]
    assert [row.split()[0] for row in rows] == ["1/3", "2/3", "3/3"]
    assert re.fullmatch(r"  1/3 +[\d.]+ +[\d.]+ +[\d.]+ %\* +[\d.e-]+ +\d+ +0:00:\d\d", rows[0])
    assert rows[2].endswith("0:00:00")
    assert any(re.match(r"epoch 2/3 +\d+%\|.*\| \d/8 \[", line) for line in lines)  # the bar
    assert "[Train]" not in text
    assert "\x1b[1;32m" in text
    log = (tmp_path / "out" / "train.log").read_text()
    assert re.search(r"^\[\d{4}/.*\] ppcls INFO: \[Train\]\[Epoch 1/3\]\[Iter: 0/8\]lr\(Cosine\): ", log, re.MULTILINE)
    assert "[Eval][Epoch 3][best metric: " in log
    assert "Already save model in" in log
    assert "\x1b" not in log


def test_a_narrow_terminal_without_colours(recipe, tmp_path):
    options = ("-o", "Global.epochs=2", "Global.eval_interval=2")
    code, text = run_on_terminal(
        "train", "-c", recipe, *options, cwd=tmp_path, columns=40, environment={"NO_COLOR": "1"}
    )
    assert code == 0
    shown = [line for line in lines_of(text) if " " in line and str(tmp_path) not in line]
    assert max(map(len, shown)) <= 40
    assert "\x1b[" not in text.replace("\x1b[A", "")
    rows = [line for line in lines_of(text) if re.match(r" *\d/2 ", line)]
    assert len(rows) == 2  # of the epoch that is not evaluated, too
    assert " - " in rows[0]
    assert "%*" in rows[1]


def epoch(number=1, **values):
    shown = {"total": 100, "loss": 1.5, "rate": 0.001, "images_per_second": 321.4, "metric": 0.625, "eval_loss": 1.25}
    return Epoch(number, **{**shown, **values})


def test_columns_of_a_table(monkeypatch):
    monkeypatch.setattr(terminal, "width", lambda: 200)
    table = EpochTable("top1", 100)
    title, row = table.lines(epoch(seconds_left=3725))
    assert title.split() == ["epoch", "loss", "val", "loss", "top-1", "rate", "images/s", "left"]
    assert row.split() == ["1/100", "1.5000", "1.2500", "62.50", "%", "1.00e-03", "321", "1:02:05"]
    (best,) = table.lines(epoch(2, is_best=True))  # no second title
    assert best.split()[4] == "%*"
    monkeypatch.setattr(terminal, "width", lambda: 30)
    title, row = table.lines(epoch(3))
    assert title.split() == ["epoch", "loss", "top-1"]
    assert len(row) <= 30


def test_other_metrics_are_no_percentages(monkeypatch):
    monkeypatch.setattr(terminal, "width", lambda: 200)
    _, row = EpochTable("CELoss", 100).lines(epoch(metric=0.625))
    assert row.split()[3] == "0.6250"
    title, row = EpochTable("loss", 100).lines(epoch(metric=1.25, is_best=True))
    assert title.split() == ["epoch", "loss", "val", "loss", "rate", "images/s", "left"]
    assert row.split()[2] == "1.2500*"
