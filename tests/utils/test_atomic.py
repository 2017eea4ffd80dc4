"""A file is replaced in one step."""

import os

import pytest

from ppcls.errors import MachineError
from ppcls.utils import atomic


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_only_when_the_block_ends(tmp_path):
    path = tmp_path / "report.json"
    path.write_text("old")
    with atomic.replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == tmp_path
    assert path.read_text() == "new"
    assert names(tmp_path) == ["report.json"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError("wrong")])
def test_a_block_that_raises_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "report.json"
    path.write_text("old")
    with pytest.raises(type(error)), atomic.replacing(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert names(tmp_path) == ["report.json"]


def test_writers_of_one_file_do_not_share_a_temporary_file(tmp_path):
    path = tmp_path / "report.json"
    with atomic.replacing(path) as one, atomic.replacing(path) as other:
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"  # whose block ended last
    assert names(tmp_path) == ["report.json"]


def test_the_new_file_is_on_disk_before_it_replaces_the_old_one(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace

    def traced_fsync(descriptor):
        done.append("fsync")
        fsync(descriptor)

    def traced_replace(*arguments):
        done.append("replace")
        replace(*arguments)

    monkeypatch.setattr(os, "fsync", traced_fsync)
    monkeypatch.setattr(os, "replace", traced_replace)
    monkeypatch.setattr(type(tmp_path), "replace", lambda self, target: traced_replace(self, target))
    atomic.write_text(tmp_path / "report.json", "new")
    assert done == ["fsync", "replace"]


def test_text_that_cannot_be_written_names_the_file(tmp_path):
    with pytest.raises(MachineError, match=r"nowhere/report\.json cannot be written: No such file"):
        atomic.write_text(tmp_path / "nowhere" / "report.json", "text")


def test_the_usual_permissions_are_those_of_a_new_file(tmp_path):
    (tmp_path / "plain").write_text("")
    atomic.write_text(tmp_path / "report.json", "text")
    assert (tmp_path / "report.json").stat().st_mode == (tmp_path / "plain").stat().st_mode
