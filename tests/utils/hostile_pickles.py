"""Pickles of a few bytes that would fill memory, never end, or bypass an allow-list."""


def bomb(place):
    """Return a pickle with a tuple of two tuples of two tuples ... in some place."""
    tuples = b")" + b"".join(b"q%ch%ch%c\x86" % (i, i, i) for i in range(50))
    return b"\x80\x02" + place.replace(b"BOMB", tuples) + b"."


_ARRAY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\x01b\x87R(K\x01"
HOSTILE = {
    "a table of two thousand million references": b"\x80\x02}r\xff\xff\xff\x7f.",
    "the same, smaller": b"\x80\x02}r\xff\xff\xff\x0f.",
    "an object registered with copyreg": b"\x80\x02\x82\x01.",
    "many tuples": b"\x80\x02]" + b"2\x86" * 5000 + b".",
    "many marks": b"\x80\x02" + b"(" * 100_000 + b".",
    "a frame larger than any memory": b"\x80\x04\x95\0\0\0\0\0\x01\0\0K\x01.",
    "many bytes": b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
    "no reference": b"\x80\x02Q.",
    "half a reference": b"\x80\x02X\x07\0\0\0storageQ.",
    "nothing": b"",
    "an empty stack": b"\x80\x020.",
    "a bomb": bomb(b"BOMB"),
    "a bomb in a dict": bomb(b"}X\x01\0\0\0wBOMBs"),
    "a bomb as a key": bomb(b"}BOMBK\x01s"),
    "a bomb as a reference": bomb(b"BOMBQ"),
    "a bomb as a type": bomb(b"(X\x07\0\0\0storageBOMBX\x01\0\0\00X\x03\0\0\0cpuK\x01tQ"),
    "a bomb as an array": bomb(b"cnumpy.core.multiarray\n_reconstruct\nBOMBK\0K\0\x87R"),
    "a bomb as an encoding": bomb(b"c_codecs\nencode\nX\x01\0\0\0aBOMB\x86R"),
    "a bomb behind a call": bomb(b"c__builtin__\ntuple\nBOMB\x85R"),
    "a shape of tuples": _ARRAY + b"(K\x01K\x01\x86J\xff\xff\xff\x7ftcnumpy\ndtype\nX\x02\0\0\0f4\x85R\x89U\0tb.",
    "a dict in itself": b"\x80\x02}q\0X\x05\0\0\0modelh\0s.",
}
