"""Which files of a folder are images, and what is said of the others."""

import io
import os
import sys

import numpy as np
import pytest

from ppcls.data.datasets import DATASETS, file_checks
from ppcls.data.datasets.paths import PathTable
from ppcls.data.transforms import heif, image_files
from ppcls.data.transforms.decode import decode_image
from ppcls.errors import DataError
from ppcls.inference import inputs
from tests.helpers.images import encode, picture

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)
JPEG_XL = b"\xff\x0a" + bytes(100)


def write(folder, **files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


@pytest.mark.parametrize("kind", [".jpg", ".png", ".webp", ".tif", ".bmp", ".ppm", ".jp2"])
@pytest.mark.parametrize("name", ["a", "a.JFIF", "a.txt", "a.heic", "a.jxl", "a.b.c"])
def test_content_decides_where_the_suffix_does_not(tmp_path, kind, name):
    content = encode(picture(), kind)
    write(tmp_path, **{f"x/{name}": content, "x/y.png": encode(picture(), ".png")})
    assert image_files.find(tmp_path).images == [f"x/{name}", "x/y.png"]
    dataset = DATASETS.build("ImageFolder", {"image_root": str(tmp_path)})
    assert [dataset.describe(index) for index in range(2)] == [f"{tmp_path}/x/{name}", f"{tmp_path}/x/y.png"]
    assert [source.name for source in inputs.collect(tmp_path)] == [f"{tmp_path}/x/{name}", f"{tmp_path}/x/y.png"]


def test_others_are_named_and_counted(tmp_path, caplog):
    files = {"b.heic": HEIC, "c.jxl": JPEG_XL, "d": b"", "e.TXT": b"text", "f.txt": b"BMore text", "g.bin": bytes(99)}
    write(tmp_path, **{f"x/{name}": content for name, content in files.items()})
    write(tmp_path, **{"x/a.png": encode(picture(), ".png"), "x/broken.png": b"", "stray.png": b"", "labels.txt": b"0"})
    for name in (".hidden.png", "Thumbs.db", "__MACOSX/._a.png", "sub/.ipynb_checkpoints/a.png"):
        write(tmp_path, **{f"x/{name}": encode(picture(), ".png")})
    write(tmp_path, **{".git/a.png": b""})
    caplog.clear()
    found = [source.name for source in inputs.collect(tmp_path)]
    assert found == [f"{tmp_path}/{name}" for name in ("stray.png", "x/a.png", "x/broken.png")]
    others = "files are not used: they cannot be decoded as images ({} .txt, 1 .bin, 1 .heic, 1 .jxl, 1 no suffix): {}"
    assert others.format(3, "labels.txt, x/b.heic, x/c.jxl, x/d, x/e.TXT, x/f.txt, x/g.bin") in caplog.text
    caplog.clear()
    dataset = DATASETS.build("ImageFolder", {"image_root": str(tmp_path)})
    assert [dataset.describe(index) for index in range(2)] == [f"{tmp_path}/x/a.png", f"{tmp_path}/x/broken.png"]
    assert dataset.class_names == ["x"]
    assert others.format(3, "labels.txt, x/b.heic, x/c.jxl, x/d, x/e.TXT, x/f.txt, x/g.bin") in caplog.text
    assert ('pip install ".[heic]"' in caplog.text) != heif.available()
    assert dataset.unused.outside == ["stray.png"]
    assert "1 image is in no class folder and is not used: stray.png" in caplog.text
    assert sorted(dataset.unused.hidden) == [
        ".git/",
        "x/.hidden.png",
        "x/Thumbs.db",
        "x/__MACOSX/",
        "x/sub/.ipynb_checkpoints/",
    ]


def test_many_others_are_cut_short(tmp_path):
    names = [f"{number:02}.xyz" for number in range(1234)]
    for name in names:
        (tmp_path / name).touch()
    text = image_files.describe_others(tmp_path, names)
    assert text.startswith("1,234 files are not used") and "(1,234 .xyz): 00.xyz, " in text
    assert text.endswith("09.xyz, ... and 1,224 more")


def test_pipes_and_dangling_links_are_not_waited_for(tmp_path, caplog):
    write(tmp_path, **{"x/a.png": encode(picture(), ".png")})
    os.mkfifo(tmp_path / "x" / "pipe")
    (tmp_path / "x" / "link").symlink_to(tmp_path / "nowhere")
    assert image_files.find(tmp_path).others == ["x/link", "x/pipe"]
    DATASETS.build("ImageFolder", {"image_root": str(tmp_path)})
    nowhere = f"x/link (a link to {tmp_path}/nowhere, where there is no file)"
    pipe = "x/pipe (cannot be read: not a regular file)"
    assert f"{tmp_path}: 2 files are not used: they cannot be read: {nowhere}, {pipe}\n" in caplog.text
    (tmp_path / "y").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"/y: a link to .*/nowhere, which is not there; repair or remove it"):
        DATASETS.build("ImageFolder", {"image_root": str(tmp_path)})


def test_a_class_folder_of_others_is_an_error_that_names_them(tmp_path):
    write(tmp_path, **{"x/a.png": encode(picture(), ".png"), "y/b.heic": HEIC, "y/c.heic": HEIC})
    with pytest.raises(DataError, match=r"no images .* in the class folder y; .*\(2 files are not used.*2 .heic"):
        DATASETS.build("ImageFolder", {"image_root": str(tmp_path)})


def test_heic(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow = pytest.importorskip("PIL.Image")
    image = np.kron(np.arange(6).reshape(2, 3, 1) * 40, np.ones((32, 32, 3))).astype(np.uint8)
    file = io.BytesIO()
    pillow_heif.from_pillow(pillow.fromarray(image)).save(file, quality=-1)
    write(tmp_path, **{"a.heic": file.getvalue(), "b": file.getvalue(), "c.heic": HEIC})
    found = image_files.find(tmp_path)
    assert (found.images, found.others) == (["a.heic", "b"], ["c.heic"])
    for backend in ("cv2", "pil"):
        assert np.abs(decode_image(file.getvalue(), backend=backend).astype(int) - image).max() <= 2


def test_heic_without_its_library_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(DataError, match=r'need pillow-heif: pip install "\.\[heic\]"'):
        decode_image(HEIC)
    with pytest.raises(DataError, match="JPEG XL image, which is not supported; save it as PNG or JPEG"):
        decode_image(JPEG_XL)


@pytest.mark.parametrize("at", [0, 4999, 9000])
def test_all_files_of_a_list_are_looked_for(tmp_path, at):
    write(tmp_path, **{"a.png": b"x", "empty.png": b"", "sub/b.png": b"x"})
    (tmp_path / "link.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "folder.png").mkdir()
    names = ["a.png"] * 9001
    assert file_checks.find_problems(PathTable(tmp_path, names), range(9001)) == []
    for name, problem in {
        "none.png": "no such file",
        "empty.png": "the file is empty",
        "link.png": f"a link to {tmp_path}/nowhere.png, where there is no file",
        "folder.png": "not a regular file",
        "sub\\b.png": r"no such file, but there is one with / in place of \: write the list's paths with /",
    }.items():
        names[at] = name
        assert file_checks.find_problems(PathTable(tmp_path, names), range(9001)) == [(at, problem)]
