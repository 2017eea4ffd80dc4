"""Shards member by member."""

import io
import tarfile

from ppcls.data import build_loader
from tests.helpers.images import encode, picture

JPEG = encode(picture(20, 30, 1), ".jpg")
PNG = encode(picture(25, 20, 2), ".png")


def write_tar(path, members, tar_format=tarfile.USTAR_FORMAT):
    """Write (name or TarInfo, content) members."""
    with tarfile.open(path, "w", format=tar_format) as archive:
        for member, content in members:
            info = member if isinstance(member, tarfile.TarInfo) else tarfile.TarInfo(member)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def build(section, train=True, **arguments):
    """Return the loader of a section."""
    return build_loader(section, train=train, seed=3, class_num=3, **arguments)
