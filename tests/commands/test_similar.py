"""``ppcls similar``."""

import json
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest


@pytest.fixture
def photos(digits, tmp_path):
    """Return a folder of twelve digits and a copy of the first one."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for number, path in enumerate(sorted((digits / "val").iterdir())[:12]):
        shutil.copy(path, folder / f"{number:02d}.png")
    shutil.copy(folder / "00.png", folder / "more" / "copy.png")
    return folder


def test_the_nearest_by_their_features(trained, photos, run, tmp_path):
    done = run("similar", trained / "out", photos / "00.png", photos, "--topk", "5")
    found = json.loads(done.stdout)["nearest"]
    assert found[0] == {"file_name": str(photos / "more" / "copy.png"), "similarity": 1.0}
    assert len(found) == 5
    assert str(photos / "00.png") not in [item["file_name"] for item in found]
    run("infer", trained / "out", photos, "--features", "x.npy")
    features, names = np.load(tmp_path / "x.npy"), json.loads((tmp_path / "x.names.json").read_text())
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    cosines = dict(zip(names, unit @ unit[names.index(str(photos / "00.png"))]))
    del cosines[str(photos / "00.png")]
    expected = sorted(cosines, key=lambda name: -cosines[name])[:5]
    assert [item["file_name"] for item in found] == expected
    assert [item["similarity"] for item in found] == pytest.approx([cosines[name] for name in expected], abs=1e-4)


def test_links_to_one_file(trained, photos, run):
    arguments = ("similar", trained / "out", photos / "00.png", photos, "--topk", "20")
    plain = json.loads(run(*arguments).stdout)["nearest"]
    link = photos / "01_link.png"
    link.symlink_to(photos / "01.png")
    linked = json.loads(run(*arguments).stdout)["nearest"]
    similarities = {item["file_name"]: item["similarity"] for item in linked}
    assert similarities[str(link)] == similarities[str(photos / "01.png")]
    assert [item for item in linked if item["file_name"] != str(link)] == plain


class Images(HTMLParser):
    def __init__(self):
        super().__init__()
        self.sources = []

    def handle_starttag(self, tag, attrs):
        self.sources += [dict(attrs)["src"]] if tag == "img" else []


def test_the_page(trained, photos, run, tmp_path):
    (photos / "broken.png").write_bytes(b"<html>")
    done = run("similar", trained / "out", photos / "00.png", photos, "--topk", "5", "--out", "page.html", code=2)
    assert done.stdout == ""
    page = (tmp_path / "page.html").read_text()
    parser = Images()
    parser.feed(page)
    assert len(parser.sources) == 6  # the query and five others
    assert all(source.startswith("data:image/jpeg;base64,") for source in parser.sources)
    assert "http" not in page
    assert "1 photos cannot be used" in page
    assert "broken.png: DecodeImage: not an image" in done.stderr


def test_features_are_kept_where_the_user_wants(trained, photos, run, tmp_path):
    before = sorted(path.name for path in photos.rglob("*"))
    arguments = ("similar", trained / "out", photos / "00.png", photos, "--cache", "features.npz")
    first = run(*arguments)
    assert "features: 0 from features.npz, 13 computed" in first.stderr
    shutil.copy(photos / "03.png", photos / "new.png")
    second = run(*arguments)
    assert "features: 13 from features.npz, 1 computed" in second.stderr
    assert json.loads(second.stdout)["nearest"][0] == json.loads(first.stdout)["nearest"][0]
    plain = run("similar", trained / "out", photos / "00.png", photos)
    assert json.loads(plain.stdout) == json.loads(second.stdout)
    other = run(*arguments, "-o", "Infer.tta=flip")  # other features of the same photos
    assert "features of another model; they are computed again" in other.stderr
    assert "features: 0 from features.npz, 14 computed" in other.stderr
    (photos / "new.png").unlink()
    assert sorted(path.name for path in photos.rglob("*")) == before  # nothing was put beside the photos


def test_what_cannot_be_searched(models, photos, run, tmp_path):
    done = run("similar", models / "inference", photos / "00.png", photos, code=2)
    assert "an exported model gives probabilities only" in done.stderr
    (tmp_path / "bad.npz").write_bytes(b"no")
    done = run("similar", models / "out", photos / "00.png", photos, "--cache", "bad.npz", code=2)
    assert "bad.npz: not a file of features" in done.stderr
    done = run("similar", models / "out", photos / "00.png", photos, "--out", "page.txt", code=2)
    assert "must end with .html or .json" in done.stderr
    done = run("similar", models / "out", photos / "none.png", photos, code=2)
    assert "no such image or folder" in done.stderr
