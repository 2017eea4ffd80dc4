"""A hundred images, each broken differently, on their way through every layout, with workers and without.

Training and evaluation refuse them by name, or skip them where the recipe says so, and never hang, crash or put another
image in their place unsaid.
"""

import io
import signal
import tarfile

import cv2
import numpy as np
import pytest

from ppcls.data import build_loader
from ppcls.data.datasets import DATASETS, check_labels
from ppcls.data.transforms.decode import decode_image
from ppcls.errors import DataError
from tests.data.cifar_files import write_cifar10
from tests.helpers.damage import READ, REFUSED, damages
from tests.helpers.images import encode, picture

_OPS = [{"DecodeImage": None}, {"ResizeImage": {"size": 8}}, {"NormalizeImage": {"order": ""}}, {"ToCHWImage": None}]
_SECONDS = 120  # after which a hang is a failure


@pytest.fixture(autouse=True)
def never_hangs():
    def give_up(*_):
        raise TimeoutError(f"not done after {_SECONDS} s")

    earlier = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, earlier)


@pytest.fixture(scope="session", params=["drawn", "photo"])
def broken(request, tmp_path_factory):
    """Return a folder with two classes, "broken" and "whole", and a dict of verdicts by file name."""
    photo = None
    if request.param == "photo":
        path = request.getfixturevalue("shared") / "data" / "photos" / "n02119789_kit_fox.JPEG"
        photo = np.ascontiguousarray(
            cv2.resize(cv2.imread(str(path)), (128, 96), interpolation=cv2.INTER_AREA)[:, :, ::-1]
        )
    root = tmp_path_factory.mktemp("broken images")
    (root / "broken").mkdir()
    (root / "whole").mkdir()
    made = damages(photo, seed=len(request.param))
    assert len({content for _, content, _ in made}) == len(made) == 100
    for name, content, _ in made:
        (root / "broken" / name).write_bytes(content)
    for index in range(20):
        (root / "whole" / f"{index}.png").write_bytes(encode(picture(10, 12, index), ".png"))
    paths = sorted(root.rglob("*.*"))
    lines = [f"{path.relative_to(root)} {int(path.parent.name == 'whole')}\n" for path in paths if path.is_file()]
    (root / "list.txt").write_text("".join(lines))
    (root / ".shards").mkdir()  # hidden, or it would be a class
    write_shard(root / ".shards" / "0.tar", root, lines[:60])
    write_shard(root / ".shards" / "1.tar", root, lines[60:])
    return root, {name: verdict for name, _, verdict in made}


def write_shard(path, root, lines):
    """Write images of a list as a shard; ``member`` says under which names."""
    with tarfile.open(path, "w") as archive:
        for line in lines:
            name, label = line.rsplit(maxsplit=1)
            image = member(name)
            label_name = f"{image.rpartition('.')[0]}.cls"
            for info, content in (
                (tarfile.TarInfo(image), (root / name).read_bytes()),
                (tarfile.TarInfo(label_name), label.encode()),
            ):
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))


def member(name):
    return f"{name.replace('.', '_')}.{name.rpartition('.')[2]}"  # a key ends at the first dot


def places(root, layout, names):
    """Return what the data set calls broken images."""
    if layout != "shards":
        return {str(root / "broken" / name) for name in names}
    lines = (root / "list.txt").read_text().splitlines()
    shards = {line.rsplit(maxsplit=1)[0]: number // 60 for number, line in enumerate(lines)}
    return {f"{root}/.shards/{shards[name]}.tar:{member(name)}" for name in (f"broken/{name}" for name in names)}


def loader(root, layout, workers, train, batch_size=1, **dataset):
    if layout == "list":
        dataset.update(name="ImageNetDataset", cls_label_path=str(root / "list.txt"))
    elif layout == "shards":
        dataset.update(name="ShardDataset", image_root=str(root / ".shards"))
    else:
        dataset.update(name="ImageFolder")
    section = {
        "dataset": {"image_root": str(root), "transform_ops": _OPS, **dataset},
        "sampler": {"batch_size": batch_size},
        "loader": {"num_workers": workers},
    }
    return build_loader(section, train=train, seed=0, class_num=2)


def expected(root):
    """Return what decoding alone says: (names of files that are refused, names of those that are read)."""
    refused, read = set(), set()
    for path in (root / "broken").iterdir():
        try:
            decode_image(path.read_bytes())
            read.add(path.name)
        except DataError:
            refused.add(path.name)
    return refused, read


def test_verdicts(broken):
    root, verdicts = broken
    refused, read = expected(root)
    assert {name for name, verdict in verdicts.items() if verdict == REFUSED} <= refused
    assert {name for name, verdict in verdicts.items() if verdict == READ} <= read
    assert len(refused) > 60


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("layout", ["list", "folder", "shards"])
@pytest.mark.parametrize("train", [True, False], ids=["training", "evaluation"])
def test_each_is_refused_by_its_name_or_is_itself(broken, layout, workers, train):
    root, _ = broken
    refused, _ = expected(root)
    named = set()
    with loader(root, layout, workers, train) as batches:
        count = len(batches.dataset)
        start = 0
        while start < count:
            try:
                for batch in batches.epoch(0, start):
                    assert batch.indices.tolist() == [start]
                    assert batch.labels.tolist() == [batches.dataset.label(start)]
                    assert not batch.skipped
                    start += 1
            except DataError as error:
                path = batches.dataset.describe(start)
                assert str(error).startswith(f"{path}: DecodeImage: "), error
                named.add(path)
                start += 1
    assert named == places(root, layout, refused)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("layout", ["list", "folder", "shards"])
def test_skipping_says_what_and_keeps_the_rest(broken, layout, workers):
    root, _ = broken
    refused, _ = expected(root)
    with loader(root, layout, workers, True, batch_size=7, on_error="skip") as batches:
        found = list(batches.epoch(0))
        described = batches.dataset.describe
    skipped = dict(item for batch in found for item in batch.skipped)
    assert {described(index) for index in skipped} == places(root, layout, refused)
    assert all(message.startswith(f"{described(index)}: ") for index, message in skipped.items())
    used = {int(index) for batch in found for index in batch.indices}
    assert used == set(range(120)) - set(skipped)
    assert sum(len(batch.images) for batch in found) == 120


def damage_cifar(content, number, rng):
    """Return a damaged file; damage strikes pixels rarely, where nothing could tell."""
    changed = bytearray(content)
    if number % 3 == 0:
        return bytes(changed[: int(rng.integers(len(changed)))])
    for _ in range(3):
        place = int(rng.integers(300))
        place = place % len(changed) if rng.random() < 0.6 else len(changed) - 1 - place % 200 % len(changed)
        changed[place] = int(rng.integers(256))
    return bytes(changed)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("binary", [True, False], ids=["binary", "python"])
def test_broken_cifar_files_are_named_or_read_as_they_are(tmp_path, binary, workers):
    folder, _, _ = write_cifar10(tmp_path, binary)
    suffix = ".bin" if binary else ""
    names = "batches.meta.txt" if binary else "batches.meta"
    rng = np.random.default_rng(5)
    refused = 0
    ops = [{"NormalizeImage": {"order": ""}}, {"ToCHWImage": None}]
    for number in range(100):
        path = folder / (names if number % 5 == 4 else f"data_batch_{number % 5 + 1}{suffix}")
        content = path.read_bytes()
        path.write_bytes(damage_cifar(content, number, rng))
        section = {"name": "Cifar10", "image_root": str(tmp_path)}
        try:
            dataset = DATASETS.build("Cifar10", {"image_root": str(tmp_path)})
            check_labels(dataset, 10)
            if number % 25 == 1 or not workers:  # processes take their time to start
                whole = {"dataset": {**section, "transform_ops": ops}, "sampler": {"batch_size": 10}}
                with build_loader(
                    {**whole, "loader": {"num_workers": workers}}, train=True, seed=0, class_num=10
                ) as all_:
                    assert [len(batch.images) for batch in all_.epoch(0)] == [10] * (len(dataset) // 10)
        except DataError as error:
            refused += 1
            assert str(path) in str(error), error
        path.write_bytes(content)
    assert refused > 30


def damage_shard(content, number, rng):
    """Return a damaged shard: cut off, or with bytes of headers or labels that are others."""
    if number % 3 == 0:
        return content[: int(rng.integers(len(content)))]
    changed = bytearray(content)
    # Damage to images is for the decoder to see.
    headers = [place for place in range(0, len(content), 512) if content[place : place + 7] == b"broken/"]
    labels = [place + 512 for place in headers if b".cls" in content[place : place + 100]]
    start = int(rng.choice(headers if number % 3 == 1 else labels))
    for place in rng.integers(start, start + 512, 3):
        changed[place] = int(rng.integers(256))
    return bytes(changed)


@pytest.mark.parametrize("indexed", [False, True])
def test_broken_shards_are_named_or_read_as_they_are(tmp_path, indexed):
    names = [f"broken/{number}.png" for number in range(8)]
    (tmp_path / "broken").mkdir()
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(encode(picture(20, 30, number), ".png"))
    shard = tmp_path / "x.tar"
    write_shard(shard, tmp_path, [f"{name} {number}" for number, name in enumerate(names)])
    good = shard.read_bytes()
    whole = DATASETS.build("ShardDataset", {"image_root": str(tmp_path)})
    images = {whole.describe(index): whole.read(index) for index in range(8)}
    rng = np.random.default_rng(6)
    refused = 0
    for number in range(100):
        shard.write_bytes(damage_shard(good, number, rng))
        if not indexed:
            (tmp_path / "x.idx.tsv").unlink(missing_ok=True)
        try:
            dataset = DATASETS.build("ShardDataset", {"image_root": str(tmp_path)})
        except DataError as error:
            refused += 1
            assert str(shard) in str(error), error
            continue
        for index in range(len(dataset)):
            try:
                data = dataset.read(index)
            except DataError:
                refused += 1
                continue
            assert data == images[dataset.describe(index)]
            # A digit that became another one can only be told by an index.
            assert dataset.label(index) == whole.label(index) or not indexed
    assert refused > 50
