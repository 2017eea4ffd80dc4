"""``ppcls pack-data``."""

from __future__ import annotations

import argparse

from ppcls.commands import ending
from ppcls.commands.command import Command, to_json
from ppcls.utils.paths import user_path

_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="folder with one folder of images per class; with --list, the folder of the images",
    )
    parser.add_argument("--out", metavar="FOLDER", required=True, help="where the shards go")
    parser.add_argument("--list", metavar="FILE", help="file with one `path label` per line, paths relative to SOURCE")
    parser.add_argument("--delimiter", metavar="TEXT", help="what separates path and label (default: white space)")
    parser.add_argument(
        "--prefix", default="train", metavar="NAME", help="first part of the shards' names (default: train)"
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--shard-size", type=_size, metavar="SIZE", help="largest size of a shard, such as 500K, 256M (default) or 1G"
    )
    size.add_argument("--shard-samples", type=int, metavar="N", help="samples per shard, instead of a size")
    order = parser.add_mutually_exclusive_group()
    order.add_argument("--seed", type=int, default=0, help="seed of the samples' order (default: 0)")
    order.add_argument("--no-shuffle", action="store_true", help="keep the source's order: class by class, mostly")
    parser.add_argument(
        "--resize-short",
        type=int,
        metavar="PIXELS",
        help="reduce larger images to this shorter side, as JPEG; smaller ones are copied",
    )
    parser.add_argument("--quality", type=int, metavar="N", help="quality of these JPEGs, 1 to 100 (default: 95)")
    parser.add_argument("--workers", type=int, metavar="N", help="processes (default: one per core)")
    parser.add_argument("--skip-broken", action="store_true", help="leave out images that cannot be decoded")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; check that all shards are there and complete"
    )


def _size(text: str) -> int:
    number, unit = (text[:-1], _UNITS[text[-1].upper()]) if text[-1:].upper() in _UNITS else (text, 1)
    if not (number.isascii() and number.isdigit() and int(number)):
        raise argparse.ArgumentTypeError(f"expected a number of bytes such as 500K, 256M or 1G, got {text!r}")
    return int(number) * unit


def _run(options: argparse.Namespace) -> int:
    from ppcls.data.packing import PackOptions, pack

    by_size = options.shard_samples is None
    quality = 95 if options.quality is None and options.resize_short is not None else options.quality
    pack_options = PackOptions(
        source=_absolute(options.source),
        list_file=None if options.list is None else _absolute(options.list),
        delimiter=options.delimiter,
        prefix=options.prefix,
        shard_bytes=(options.shard_size or 256 * _UNITS["M"]) if by_size else None,
        shard_samples=options.shard_samples,
        seed=None if options.no_shuffle else options.seed,
        resize_short=options.resize_short,
        quality=quality,
    )
    out = user_path(options.out)
    result = pack(pack_options, out, workers=options.workers, skip_broken=options.skip_broken, check=options.check)
    print(to_json(result))
    reached = f"{'checked' if options.check else 'packed'} {result['samples']:,} images in {result['shards']:,} shards"
    ending.say(reached, {"shards": out}, ending.command("ppcls", "train", out))
    return 0


def _absolute(path: str) -> str:
    return str(user_path(path).absolute())


COMMAND = Command("pack-data", "write images into tar shards, for data sets that outgrow a folder", _add_options, _run)
