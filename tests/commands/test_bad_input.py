"""Folders that nobody can work with, full disks, and Ctrl-C: a message, nothing lost, nothing half written."""

import os
import signal

import pytest

from tests.helpers.class_folders import fill
from tests.helpers.images import encode, picture
from tests.helpers.runs import interrupt_evaluation


def left_in(folder):
    """Return all files that are not pictures, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.suffix not in (".jpg", ""))


@pytest.mark.parametrize(
    ("classes", "count", "message"),
    [
        ((), 0, "contains no folders; one per class is needed"),
        (("a",), 3, "has one class, a; at least two are needed"),
        (("a", "b"), 1, "no image is left for validation: no class has two images that are not near copies"),
    ],
)
def test_folders_that_cannot_be_split(run, tmp_path, classes, count, message):
    (tmp_path / "in").mkdir()
    fill(tmp_path / "in", classes, count)
    done = run("split-data", "in", "--workers", "1", code=2)
    assert message in done.stderr and "Traceback" not in done.stderr
    assert left_in(tmp_path) == []


def test_nothing_but_broken_images(run, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "in" / name).mkdir(parents=True)
        (tmp_path / "in" / name / "x.jpg").write_bytes(encode(picture(), ".jpg")[:300])
    done = run("split-data", "in", "--workers", "1", code=2)
    assert "none of its 2 images can be read, such as in/a/x.jpg: the JPEG" in done.stderr
    assert "in/a/x.jpg: the JPEG" in run("show-data", "in", code=2).stderr
    assert left_in(tmp_path) == []
    done = run("check", "in", "--workers", "1", code=1)
    assert "2 cannot be read:" in done.stderr
    assert "<h3>a</h3>" in (tmp_path / "in_check.html").read_text()  # a class is there, although it has no picture


@pytest.mark.parametrize("command", [("check",), ("show-data",), ("split-data", "--out", "lists", "--val", "0.5")])
def test_a_disk_that_fills(photos, run, tmp_path, command):
    (photos / "dog").rename(photos / ("dog " * 50).strip())  # long lines of lists
    done = run(command[0], photos, *command[1:], limit=2000, code=2)
    assert "cannot be written: File too large" in done.stderr and "Traceback" not in done.stderr
    assert left_in(tmp_path) == []


def test_an_interrupted_check_leaves_nothing(photos, run, tmp_path, monkeypatch):
    from ppcls.data.inspection import check_files

    monkeypatch.setattr(check_files, "render_page", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    assert run("check", photos, "--workers", "1", code=130).stderr.endswith("stopped\n")
    assert left_in(tmp_path) == []


def test_interrupted_while_a_library_is_imported(trained, run, monkeypatch):
    """Paddle makes an ImportError of it, and Python 3.11 a RuntimeError in some places."""
    from ppcls.commands import evaluate

    def import_paddle():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            signal.pause()
        except KeyboardInterrupt:
            raise ImportError("initialization failed") from None

    monkeypatch.setattr(evaluate, "import_paddle", import_paddle)
    assert run("eval", trained / "out", code=130).stderr == "stopped\n"


def test_an_interrupted_evaluation_has_no_result(trained, run, monkeypatch):
    interrupt_evaluation(monkeypatch, 1)
    done = run("eval", trained / "out", code=130)
    assert done.stdout == "" and done.stderr.endswith("stopped\n")
