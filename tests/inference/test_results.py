import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ppcls.errors import ConfigError, MachineError
from ppcls.inference import results
from tests.helpers.recipes import ROOT

GOOD = {"class_ids": [2, 0], "scores": [0.7, 0.2], "file_name": "a, b/größe.jpg", "label_names": ["drei", "eins"]}
UNNAMED = {"class_ids": [1, 2], "scores": [0.6, 0.3], "file_name": "c.jpg", "label_names": []}
BROKEN = {"file_name": os.fsdecode(b"\xff.jpg"), "error": 'not an image: "x"\nat all'}
ALL = [BROKEN, GOOD, UNNAMED]


def write(path, answers, form=results.LIST, multilabel=False):
    with results.open_writer(path, form, multilabel) as file:
        for answer in answers:
            file.add(answer)
    return path


@pytest.mark.parametrize("answers", [ALL, [BROKEN], []])
def test_json_is_the_answers(tmp_path, answers):
    assert json.loads(write(tmp_path / "x.json", answers).read_text()) == answers


def test_a_folder_that_cannot_be_written_in_is_told_before_any_work(tmp_path):
    folder = Path("/proc/self")  # read-only for everybody, root too
    if not folder.is_dir():
        pytest.skip("needs /proc")
    with pytest.raises(MachineError, match=r"/proc/self/x\.json: cannot be written: /proc/self is read-only"):
        results.check(folder / "x.json", results.LIST)
    results.check(tmp_path / "x.json", results.LIST)


def test_a_map_has_each_path_once_and_null_for_broken_images(tmp_path):
    text = write(tmp_path / "x.json", [*ALL, GOOD], results.MAP).read_text()
    pairs = json.loads(text, object_pairs_hook=list)
    assert pairs == [(BROKEN["file_name"], None), (GOOD["file_name"], 2), ("c.jpg", 1)]
    assert json.loads(write(tmp_path / "x.json", [], results.MAP).read_text()) == {}


def test_csv_is_a_row_an_image_with_the_best_class_first(tmp_path):
    file = write(tmp_path / "x.csv", ALL)
    assert file.read_bytes().startswith(b"\xef\xbb\xbf")  # by which spreadsheets know UTF-8
    with file.open(encoding="utf-8-sig", newline="") as opened:
        broken, good, unnamed = csv.DictReader(opened)
    assert list(good) == ["file_name", "error", *["class_id", "label", "score", "class_id_2", "label_2", "score_2"]]
    assert broken == {**dict.fromkeys(good, ""), "file_name": r"\udcff.jpg", "error": BROKEN["error"]}
    assert list(good.values()) == ["a, b/größe.jpg", "", "2", "drei", "0.7", "0", "eins", "0.2"]
    assert list(unnamed.values()) == ["c.jpg", "", "1", "", "0.6", "2", "", "0.3"]
    with write(tmp_path / "x.csv", [BROKEN]).open(encoding="utf-8-sig", newline="") as opened:
        (broken,) = csv.DictReader(opened)
    assert broken["error"] == BROKEN["error"]


NO_CLASS = {"class_ids": [], "scores": [], "file_name": "d.jpg", "label_names": []}


def test_several_labels_in_all_formats(tmp_path):
    answers = [NO_CLASS, GOOD, BROKEN, UNNAMED]
    assert json.loads(write(tmp_path / "x.json", answers, multilabel=True).read_text()) == answers
    mapped = json.loads(write(tmp_path / "x.json", answers, results.MAP, multilabel=True).read_text())
    assert mapped == {"d.jpg": [], GOOD["file_name"]: [2, 0], BROKEN["file_name"]: None, "c.jpg": [1, 2]}
    with write(tmp_path / "x.csv", answers, multilabel=True).open(encoding="utf-8-sig", newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [list(row.values()) for row in rows] == [
        ["d.jpg", "", "", "", ""],
        ["a, b/größe.jpg", "", "2;0", "drei;eins", "0.7;0.2"],
        [r"\udcff.jpg", BROKEN["error"], "", "", ""],
        ["c.jpg", "", "1;2", "", "0.6;0.3"],
    ]
    assert list(rows[0]) == ["file_name", "error", "class_ids", "labels", "scores"]


def test_several_labels_in_parquet(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(write(tmp_path / "x.parquet", [NO_CLASS, GOOD], multilabel=True)).to_pylist()
    assert [row["class_ids"] for row in table] == [[], [2, 0]]
    assert [row["class_id"] for row in table] == [None, 2]


def test_no_cell_of_a_csv_file_is_a_formula(tmp_path):
    names = [
        "=1+1.png",
        "+1.png",
        "-1.png",
        "@SUM(A1).png",
        "\tx.png",
        "\r=1.png",
        "\n=1.png",
        "＝1.png",
        "＋1.png",
        "－1.png",
        "＠1.png",
    ]
    answers = [{**GOOD, "file_name": name, "label_names": [f"={name}", "a=b"], "scores": [0.5, -0.5]} for name in names]
    with write(tmp_path / "x.csv", answers).open(encoding="utf-8-sig", newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [row["file_name"] for row in rows] == [f"'{name}" for name in names]
    assert [row["label"] for row in rows] == [f"'={name}" for name in names]
    assert {(row["label_2"], row["score_2"]) for row in rows} == {("a=b", "-0.5")}  # a number is a number
    assert json.loads(write(tmp_path / "x.json", answers).read_text()) == answers


def test_errors_of_the_block_are_not_those_of_the_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"), results.open_writer(tmp_path / "x.json") as file:
        file.add(GOOD)
        (tmp_path / "nowhere").read_bytes()
    assert not list(tmp_path.iterdir())


def test_parquet_has_the_best_class_and_all(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    many = [{**UNNAMED, "file_name": f"{number}.jpg"} for number in range(9000)]  # several groups of rows
    rows = parquet.read_table(write(tmp_path / "x.parquet", [*ALL, *many])).to_pylist()
    assert len(rows) == 9003
    assert rows[0]["file_name"] == r"\udcff.jpg"
    assert rows[0]["error"] == BROKEN["error"]
    assert rows[0]["class_id"] is rows[0]["class_ids"] is None
    assert rows[1] == {
        **dict(zip(["class_id", "label", "score"], [2, "drei", 0.7])),
        **dict(zip(["class_ids", "labels", "scores"], [[2, 0], ["drei", "eins"], [0.7, 0.2]])),
        "file_name": GOOD["file_name"],
        "error": None,
    }
    assert [row["file_name"] for row in rows[3:]] == [answer["file_name"] for answer in many]
    assert parquet.read_table(write(tmp_path / "x.parquet", [])).num_rows == 0


@pytest.mark.parametrize("suffix", results.SUFFIXES)
def test_an_older_file_stays_whole_until_the_new_one_is(tmp_path, suffix):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"x{suffix}"
    path.write_text("older")
    with pytest.raises(KeyboardInterrupt), results.open_writer(path) as file:
        file.add(GOOD)
        assert path.read_text() == "older"
        raise KeyboardInterrupt
    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path]
    write(path, [GOOD])
    assert path.read_bytes() != b"older"
    assert list(tmp_path.iterdir()) == [path]


def test_of_a_link_what_it_points_to_is_replaced(tmp_path):
    (tmp_path / "real.json").write_text("older")
    (tmp_path / "link.json").symlink_to("real.json")
    write(tmp_path / "link.json", [GOOD])
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "real.json").read_text()) == [GOOD]


def test_where_nothing_can_be_written_it_is_said(tmp_path):
    for name in ("x.txt", "x", "x.json.gz"):
        with pytest.raises(ConfigError, match=r"must be one of \.json, \.csv, \.parquet"):
            write(tmp_path / name, [])
    with pytest.raises(ConfigError, match=r"written as \.json, not \.csv"):
        write(tmp_path / "x.csv", [], results.MAP)
    with pytest.raises(MachineError, match=r"cannot be written: there is no folder .*nowhere; make it first"):
        write(tmp_path / "nowhere" / "x.json", [])
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(MachineError, match="it is a folder"):
        write(tmp_path / "folder.json", [])


def test_a_full_disk_is_said_and_leaves_nothing_behind(tmp_path):
    code = """
import resource, signal, sys
from pathlib import Path
from ppcls.inference import results
from ppcls.errors import MachineError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
answer = {"class_ids": [2], "scores": [0.7], "file_name": "a.jpg", "label_names": []}
try:
    with results.open_writer(Path(sys.argv[1])) as file:
        for _ in range(20_000):
            file.add(answer)
except MachineError as error:
    print(error)
"""
    for suffix in (".json", ".csv"):
        target = tmp_path / f"x{suffix}"
        done = subprocess.run(
            [sys.executable, "-c", code, str(target)], capture_output=True, text=True, cwd=ROOT, check=True
        )
        assert done.stdout == f"{target}: cannot be written: File too large\n"
    assert not list(tmp_path.iterdir())
