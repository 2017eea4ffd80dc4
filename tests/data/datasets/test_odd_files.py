"""Shards made to do harm, odd names and patterns, and files that are none."""

import io
import os
import signal
import tarfile
import unicodedata

import numpy as np
import pytest

from ppcls.data import build_dataset, check_disjoint_shards
from ppcls.data.datasets import ImageFolder, ImageNetDataset, ShardDataset
from ppcls.data.datasets.shards.reading import name_matches
from ppcls.errors import ConfigError, DataError
from tests.helpers.images import encode, picture

JPEG, OTHER = encode(picture(20, 30, 1), ".jpg"), encode(picture(20, 30, 2), ".jpg")


@pytest.fixture(autouse=True)
def never_waits():
    def give_up(*_):
        raise TimeoutError("waits for ever")

    earlier = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(30)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, earlier)


def tar_of(names, tar_format=tarfile.USTAR_FORMAT):
    """Return a tar file with an image and its label for each name."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tar_format) as archive:
        for number, name in enumerate(names):
            for suffix, content in ((".jpg", (JPEG, OTHER)[number % 2]), (".cls", b"%d" % number)):
                member = tarfile.TarInfo(name + suffix)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return data.getvalue()


def announcing(kind, size):
    """Return a header that says that its data, of so many bytes, belong to the next header."""
    member = tarfile.TarInfo("././@LongLink")
    member.type, member.size = kind, size
    return member.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
@pytest.mark.parametrize(("count", "size"), [(3000, 0), (1, 2**40), (1, 2**62)])
def test_headers_of_headers(tmp_path, kind, count, size):
    (tmp_path / "x.tar").write_bytes(announcing(kind, size) * count + tar_of("ab"))
    try:
        # Many global headers of no effect are odd, and harmless.
        dataset = ShardDataset(str(tmp_path))
    except DataError as error:
        assert str(tmp_path / "x.tar") in str(error)
        assert not (tmp_path / "x.idx.tsv").exists()
    else:
        assert (kind, size) == (tarfile.XGLTYPE, 0)
        assert [dataset.read(0), dataset.read(1)] == [JPEG, OTHER]


@pytest.mark.parametrize("pattern", [".", "./", "**.tar", "a**/*.tar", "a\0b/*.tar", "../*.tar", ""])
def test_patterns_that_make_no_sense(tmp_path, pattern):
    (tmp_path / "x.tar").write_bytes(tar_of("ab"))
    with pytest.raises(ConfigError, match="shards: "):
        ShardDataset(str(tmp_path), pattern)
    assert len(ShardDataset(str(tmp_path), "**/*.tar")) == len(ShardDataset(str(tmp_path), "./x.tar")) == 2


def test_the_same_shards_on_both_sides(tmp_path):
    def side(shards=None, root=tmp_path):
        named = {} if shards is None else {"shards": shards}
        return build_dataset({"name": "ShardDataset", "image_root": str(root), **named}, train=shards is None)

    for name in ("train-0", "val-0", "val-1"):
        (tmp_path / f"{name}.tar").write_bytes(tar_of("ab"))
    (tmp_path / "again").symlink_to(tmp_path)
    with pytest.raises(
        ConfigError, match=r"shards: .*val-0.tar and 1 more are in DataLoader.Train and in DataLoader.E"
    ):
        check_disjoint_shards(side(), side("val-*.tar"))
    with pytest.raises(ConfigError, match=r"shards: .*val-1.tar is in DataLoader.Train"):
        check_disjoint_shards(side("val-*.tar"), side("val-{1..1}.tar", tmp_path / "again"))
    check_disjoint_shards(side("train-*.tar"), side("val-*.tar"))
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "x.jpg").write_bytes(JPEG)
    check_disjoint_shards(side(), ImageFolder(str(tmp_path)))


# -- names ---------------------------------------------------------------------------------------------------------

DEEP = "a folder/" * 12
TWO_NAMES = {
    "latin": ("bild-ä", "bild-ö"),
    "chinese": ("图一", "图二"),
    "deep": (f"{DEEP}one", f"{DEEP}two"),
    "deep and accented": (f"{DEEP}üne", f"{DEEP}two"),
    "short and long": ("short", "l" * 120),
    "plain and accented": ("plain", "pläne"),
}
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
CASES = [(kind, name) for kind in TWO_NAMES for name in FORMATS if (kind, name) != ("short and long", "ustar")]
TOLD_APART = {(kind, "ustar") for kind in TWO_NAMES} | {("latin", "gnu"), ("chinese", "gnu")}


def headers(name, tar_format):
    """Return what the headers of an image and its label show."""
    data = tar_of([name], FORMATS[tar_format])
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        places = [member.offset_data - 512 for member in archive]
    return [tarfile.TarInfo.frombuf(data[p : p + 512], "utf-8", "surrogateescape").name for p in places]


@pytest.mark.parametrize(("kind", "tar_format"), CASES)
def test_names_in_the_index_that_are_not_those_of_the_shard(tmp_path, kind, tar_format):
    names = TWO_NAMES[kind]
    (tmp_path / "x.tar").write_bytes(tar_of(names, FORMATS[tar_format]))
    dataset = ShardDataset(str(tmp_path))
    assert [dataset.read(0), dataset.read(1)] == [JPEG, OTHER]
    index = tmp_path / "x.idx.tsv"
    lines = [line.split("\t") for line in index.read_text(encoding="utf-8").split("\n")]
    lines[1][0], lines[2][0] = lines[2][0], lines[1][0]
    index.write_text("\n".join("\t".join(line) for line in lines), encoding="utf-8")
    swapped = ShardDataset(str(tmp_path))
    if headers(names[0], tar_format) == headers(names[1], tar_format):  # cut off, or "?" for all beyond ASCII
        assert (kind, tar_format) not in TOLD_APART
        assert [swapped.read(0), swapped.read(1)] == [JPEG, OTHER]
    else:
        with pytest.raises(DataError, match="the shard is not what its index says"):
            swapped.read(0)
        with pytest.raises(DataError, match="the shard is not what its index says"):
            swapped.read(1)


def test_what_other_writers_show_of_a_name():
    long = "x" * 101
    assert name_matches(unicodedata.normalize("NFD", "ü.jpg"), "ü.jpg")  # the name before the header was composed
    assert name_matches("\udcfc.jpg", "ü.jpg")  # Latin-1
    assert name_matches("b.jpg", "bäü.jpg")  # left out
    assert name_matches("b__.jpg", "bäü.jpg")
    assert not name_matches("b__.png", "bäü.jpg")
    assert not name_matches("ö.jpg", "ü.jpg")
    assert not name_matches("\udcfc.jpg", "u.jpg")
    assert name_matches(long[:99], long)
    assert name_matches(long[:100], long)
    assert not name_matches("x", long)
    assert name_matches("x" * 99, "x" * 100)  # GNU's oldgnu ends each name with a zero byte
    for kind, tar_format in CASES:
        for name in TWO_NAMES[kind]:
            image, label = headers(name, tar_format)
            assert name_matches(image, name + ".jpg")
            assert name_matches(label, name + ".cls")


def test_one_warning_for_all_indexes_that_cannot_be_written(tmp_path, caplog):
    for number in range(5):
        (tmp_path / f"{number}{'x' * 244}.tar").write_bytes(tar_of("ab"))  # too long for a temporary file's name
    assert len(ShardDataset(str(tmp_path))) == 10
    assert [record.getMessage().rsplit("idx.tsv ", 1)[1] for record in caplog.records] == [
        "cannot be written (File name too long): this and 4 more shards are searched anew each time"
    ]


# -- files that are none -------------------------------------------------------------------------------------------


def test_pipes_are_no_images(tmp_path):
    (tmp_path / "a").mkdir()
    os.mkfifo(tmp_path / "a" / "x.jpg")
    (tmp_path / "a" / "y.jpg").write_bytes(JPEG)
    (tmp_path / "a" / "z.jpg").mkdir()
    (tmp_path / "list.txt").write_text("a/x.jpg 0\na/y.jpg 0\na/z.jpg 0\n")
    (tmp_path / "null.txt").write_text("/dev/null 0\n")
    listed = ImageNetDataset(str(tmp_path), str(tmp_path / "list.txt"), on_error="skip")
    device = ImageNetDataset(str(tmp_path), str(tmp_path / "null.txt"), on_error="skip")
    for dataset in (listed, ImageFolder(str(tmp_path)), device):
        with pytest.raises(DataError, match="cannot be read: not a regular file"):
            dataset.read(0)
    assert listed.read(1) == JPEG
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        listed.read(2)


def test_a_pipe_in_place_of_an_index_or_a_shard(tmp_path):
    shard, index = tmp_path / "x.tar", tmp_path / "x.idx.tsv"
    shard.write_bytes(tar_of("ab"))
    os.mkfifo(index)
    with pytest.raises(DataError, match=r"x.idx.tsv: cannot be read: not a regular file"):
        ShardDataset(str(tmp_path))
    index.unlink()
    dataset = ShardDataset(str(tmp_path))
    shard.unlink()
    os.mkfifo(shard)
    with pytest.raises(DataError, match="cannot be read: Illegal seek"):
        dataset.read(0)


def test_a_pipe_in_place_of_a_cifar_file(tmp_path):
    record = np.zeros(3073, np.uint8).tobytes()
    for number in (1, 3, 4, 5):
        (tmp_path / f"data_batch_{number}.bin").write_bytes(record)
    os.mkfifo(tmp_path / "data_batch_2.bin")
    with pytest.raises(DataError, match=r"data_batch_2.bin: cannot be read: not a regular file"):
        build_dataset({"name": "Cifar10", "image_root": str(tmp_path)}, train=True)
