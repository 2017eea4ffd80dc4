"""The last lines of a command."""

import pytest

from ppcls.commands import ending


def test_what_was_reached_where_and_what_next(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ending.say("done", {"report": tmp_path / "a" / "report.html", "log": "/elsewhere/log"}, "ppcls eval a")
    said = capsys.readouterr()
    assert said.out == ""  # for data
    assert said.err.splitlines() == [
        "done",
        "  report: a/report.html",
        "  log:    /elsewhere/log",
        "next: ppcls eval a",
    ]


@pytest.mark.parametrize("count", [0, 1, 3, 5])
def test_at_most_four_lines(capsys, count):
    ending.say("done", {f"thing {number}": f"file{number}" for number in range(count)}, "ppcls eval a")
    err = capsys.readouterr().err
    assert len(err.splitlines()) <= 4
    assert all(f"thing {number}: file{number}" in err for number in range(count))


def test_without_a_next_command(capsys):
    ending.say("done", {})
    assert capsys.readouterr().err == "done\n"


def test_once_for_several_processes(capsys, monkeypatch):
    monkeypatch.setenv("PADDLE_TRAINER_ID", "1")
    ending.say("done", {}, "ppcls eval a")
    assert capsys.readouterr().err == ""


def test_commands_can_be_typed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ("ppcls", "train", tmp_path / "my photos", "-o", "a=[1, 2]")
    assert ending.command(*words) == "ppcls train 'my photos' -o 'a=[1, 2]'"
    assert ending.short(tmp_path.parent) == str(tmp_path.parent)
    assert ending.short("../x") == "../x"
