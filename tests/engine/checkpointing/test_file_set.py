"""A set of files is replaced as a whole, wherever the writer dies."""

import itertools
import json
import multiprocessing
import os

import pytest

from ppcls.engine.checkpointing import file_set
from ppcls.utils.digests import sha256
from ppcls.utils.paths import add_suffix

FORK = multiprocessing.get_context("fork")
SUFFIXES = (".pdparams", ".pdopt")


def write(prefix, text):
    writers = {suffix: lambda path, s=suffix: path.write_text(f"{text}{s}") for suffix in SUFFIXES}
    file_set.write(prefix, writers, {"text": text})


def read(prefix):
    file_set.finish_commit(prefix)
    states = json.loads(add_suffix(prefix, ".pdstates").read_text())
    for suffix, digest in states["files"].items():
        assert sha256(add_suffix(prefix, suffix)) == digest
        assert add_suffix(prefix, suffix).read_text() == states["text"] + suffix
    return states["text"]


def test_replaced_and_nothing_left_over(tmp_path):
    prefix = tmp_path / "v1.5"  # a dot in the name must not be taken for a suffix
    write(prefix, "old")
    write(prefix, "new")
    assert read(prefix) == "new"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["v1.5.pdopt", "v1.5.pdparams", "v1.5.pdstates"]


def write_and_die(prefix, die_at):
    """Write a set, and die as by ``kill -9`` before the call number ``die_at`` that touches the disk."""
    calls = itertools.count(1)

    def dying(original):
        def call(*args, **kwargs):
            if next(calls) == die_at:
                os._exit(9)
            return original(*args, **kwargs)

        return call

    for name in ("fsync", "rename", "replace", "open"):
        setattr(os, name, dying(getattr(os, name)))
    write(prefix, "new")
    os._exit(0)


def test_death_at_any_system_call_leaves_the_old_or_the_new_set(tmp_path):
    """The writer is killed before its 1st, 2nd, ... call that touches the disk, until it survives."""
    contents = []
    for die_at in range(1, 60):
        prefix = tmp_path / f"run{die_at}" / "latest"
        prefix.parent.mkdir()
        write(prefix, "old")
        writer = FORK.Process(target=write_and_die, args=(prefix, die_at))
        writer.start()
        writer.join()
        contents.append(read(prefix))
        write(prefix, "next")  # and the next save works
        assert read(prefix) == "next"
        if writer.exitcode == 0:
            break
        assert writer.exitcode == 9
    assert writer.exitcode == 0, "the writer never survived"
    assert len(contents) > 10
    assert contents == sorted(contents, reverse=True), "old until the commit, new from then on"
    assert set(contents) == {"old", "new"}


def test_a_failing_writer_changes_nothing(tmp_path):
    prefix = tmp_path / "latest"
    write(prefix, "old")

    def full(path):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        file_set.write(prefix, {".pdparams": full, ".pdopt": full}, {"text": "new"})
    assert read(prefix) == "old"


def test_links_share_the_file_and_survive_the_original(tmp_path):
    write(tmp_path / "latest", "one")
    file_set.hard_link(tmp_path / "latest.pdparams", tmp_path / "best.pdparams")
    write(tmp_path / "latest", "two")
    assert (tmp_path / "best.pdparams").read_text() == "one.pdparams"


def test_a_reader_that_is_slow_to_finish_a_set_leaves_the_next_one_alone(tmp_path):
    """It read a commit, and renames when the writer is at its next set already."""
    prefix = tmp_path / "latest"

    def write(text):
        file_set.write(prefix, {".pdparams": lambda path: path.write_text(text)}, {"text": text})

    write("first")
    states = (tmp_path / "latest.pdstates").read_text()
    token = json.loads(states)["token"]
    (tmp_path / "latest.commit").write_text(states)  # what the slow reader has seen
    write("second")
    (tmp_path / "latest.pdparams.0badf00d.tmp").write_text("half of the third")
    (tmp_path / "latest.commit").write_text(states)
    file_set.finish_commit(prefix)
    assert token != "0badf00d"
    assert (tmp_path / "latest.pdparams").read_text() == "second"
