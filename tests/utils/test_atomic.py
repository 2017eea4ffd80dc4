"""A set of files is replaced as a whole, wherever the writer dies."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

from ppcls.errors import MachineError
from ppcls.utils import atomic

SUFFIXES = (".pdparams", ".pdopt")


def write(prefix, text):
    writers = {suffix: lambda path, s=suffix: path.write_text(f"{text}{s}") for suffix in SUFFIXES}
    atomic.write_set(prefix, writers, {"text": text})


def read(prefix):
    atomic.finish_commit(prefix)
    states = json.loads(atomic.add_suffix(prefix, ".pdstates").read_text())
    for suffix, digest in states["files"].items():
        assert atomic.sha256(atomic.add_suffix(prefix, suffix)) == digest
        assert atomic.add_suffix(prefix, suffix).read_text() == states["text"] + suffix
    return states["text"]


def test_replaced_and_nothing_left_over(tmp_path):
    prefix = tmp_path / "v1.5"  # a dot in the name must not be taken for a suffix
    write(prefix, "old")
    write(prefix, "new")
    assert read(prefix) == "new"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["v1.5.pdopt", "v1.5.pdparams", "v1.5.pdstates"]


KILLED = """
    import os, pathlib, sys
    from ppcls.utils import atomic
    assert "paddle" not in sys.modules
    prefix, die_at = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    calls = 0

    def traced(name):
        original = getattr(os, name)

        def call(*args, **kwargs):
            global calls
            calls += 1
            if calls == die_at:
                os._exit(9)  # as kill -9: nothing is cleaned up
            return original(*args, **kwargs)

        setattr(os, name, call)

    for name in ("fsync", "rename", "replace", "open"):
        traced(name)
    atomic.write_set(
        prefix, {s: lambda path, s=s: path.write_text("new" + s) for s in (".pdparams", ".pdopt")}, {"text": "new"}
    )
"""


def test_death_at_any_system_call_leaves_the_old_or_the_new_set(tmp_path):
    """The writer is killed before its 1st, 2nd, ... call that touches the disk, until it survives."""
    script = tmp_path / "writer.py"
    script.write_text(textwrap.dedent(KILLED))
    seen = []
    for die_at in range(1, 60):
        prefix = tmp_path / f"run{die_at}" / "latest"
        prefix.parent.mkdir()
        write(prefix, "old")
        done = subprocess.run([sys.executable, str(script), str(prefix), str(die_at)], env={**os.environ}, check=False)
        seen.append(read(prefix))
        write(prefix, "next")  # and the next save works
        assert read(prefix) == "next"
        if done.returncode == 0:
            break
        assert done.returncode == 9
    assert done.returncode == 0, "the writer never survived"
    assert len(seen) > 10
    assert seen == sorted(seen, reverse=True), "old until the commit, new from then on"
    assert {"old", "new"} == set(seen)


def test_a_failing_writer_changes_nothing(tmp_path):
    prefix = tmp_path / "latest"
    write(prefix, "old")

    def full(path):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        atomic.write_set(prefix, {".pdparams": full, ".pdopt": full}, {"text": "new"})
    assert read(prefix) == "old"


def test_links_share_the_file_and_survive_the_original(tmp_path):
    write(tmp_path / "latest", "one")
    atomic.hard_link(tmp_path / "latest.pdparams", tmp_path / "best.pdparams")
    write(tmp_path / "latest", "two")
    assert (tmp_path / "best.pdparams").read_text() == "one.pdparams"


def test_a_reader_that_is_slow_to_finish_a_set_leaves_the_next_one_alone(tmp_path):
    """It read a commit, and renames when the writer is at its next set already."""
    prefix = tmp_path / "latest"

    def write(text):
        atomic.write_set(prefix, {".pdparams": lambda path: path.write_text(text)}, {"text": text})

    write("first")
    states = (tmp_path / "latest.pdstates").read_text()
    token = json.loads(states)["token"]
    (tmp_path / "latest.commit").write_text(states)  # what the slow reader has seen
    write("second")
    (tmp_path / "latest.pdparams.0badf00d.tmp").write_text("half of the third")
    (tmp_path / "latest.commit").write_text(states)
    atomic.finish_commit(prefix)
    assert token != "0badf00d"
    assert (tmp_path / "latest.pdparams").read_text() == "second"


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
