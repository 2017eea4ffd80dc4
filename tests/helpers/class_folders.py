"""Folders of pictures by class, and shards packed of them."""

import hashlib

from ppcls.data.packing import PackOptions
from tests.helpers.images import encode, picture


def fill(root, classes, count, side=40):
    """Write ``count`` pictures into the folder of each class; return the root."""
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            content = encode(picture(side, side, number * count + index), ".jpg")
            (root / name / f"{index}.jpg").write_bytes(content)
    return root


def write_photos(root):
    """Return class folders with 24 pictures of three classes."""
    for number in range(24):
        suffix = (".jpg", ".png", ".JPEG")[number % 3]
        file = root / ("cat", "dog", "élan")[number // 8] / f"img.{number} x{suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encode(picture(30 + number, 40, number), suffix.lower()))
    return root


def digests(folder):
    """Return the digest of each file."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def settings(source, **changes):
    """Return options of packing: five samples in a shard unless changed."""
    return PackOptions(str(source), **{"shard_samples": 5, **changes})
