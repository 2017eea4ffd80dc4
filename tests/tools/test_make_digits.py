"""``tools/make_digits.py``."""

import subprocess
import sys

from tests.helpers.recipes import ROOT


def test_it_writes_the_data_set(tmp_path):
    command = [sys.executable, str(ROOT / "tools" / "make_digits.py"), str(tmp_path / "digits")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert "1433 pictures to train with, 364 to evaluate with" in done.stdout
    for name, count in (("train_list.txt", 1433), ("val_list.txt", 364)):
        lines = (tmp_path / "digits" / name).read_text().splitlines()
        assert len(lines) == count
        assert all((tmp_path / "digits" / line.split()[0]).is_file() for line in lines)
        assert {line.split()[1] for line in lines} == {str(i) for i in range(10)}
