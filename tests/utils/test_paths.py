from pathlib import Path

import pytest

from ppcls.errors import DataError
from ppcls.utils.paths import suggest_path, user_path


def test_the_tilde_is_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    assert user_path("~/photos/a.png") == Path("/home/somebody/photos/a.png")
    assert user_path(Path("~")) == Path("/home/somebody")
    assert user_path("photos/~a.png") == Path("photos/~a.png")


def test_a_typing_error_is_answered_by_what_is_there(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / ".photo").mkdir()
    assert suggest_path(tmp_path / "photo") == f"; did you mean {tmp_path / 'photos'}?"
    assert suggest_path(tmp_path / "flowers") == ""
    assert suggest_path(tmp_path / "missing" / "photo") == ""


def test_a_user_that_there_is_not_is_said():
    with pytest.raises(DataError, match=r"^~nosuchuser/a\.png: no home folder known for ~nosuchuser; if that is"):
        user_path("~nosuchuser/a.png")


@pytest.mark.parametrize(
    "arguments",
    [
        ("export", "~nosuchuser/run"),
        ("serve", "~nosuchuser/model"),
        ("eval", "-c", "quick_start/digits_ConvMixer", "--model", "~nosuchuser/model"),
    ],
)
def test_commands_say_so_too(run, arguments):
    done = run(*arguments, code=2)
    assert "no home folder known for ~nosuchuser" in done.stderr
    assert "Traceback" not in done.stderr
