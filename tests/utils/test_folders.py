"""Folders for results are made, and tried before any work."""

import pytest

from ppcls.errors import MachineError
from ppcls.utils.folders import ensure_writable


def test_a_folder_is_made_and_nothing_is_left_in_it(tmp_path):
    folder = tmp_path / "a" / "b"
    ensure_writable(folder, "--out=a/b", "choose another")
    assert folder.is_dir() and not list(folder.iterdir())


def test_the_message_names_the_setting_and_says_what_to_do(tmp_path):
    (tmp_path / "file").write_text("")
    message = r"^--out=x: cannot be written to: (Not a directory|File exists); choose another folder with --out$"
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(MachineError, match=message):
            ensure_writable(folder, "--out=x", "choose another folder with --out")
