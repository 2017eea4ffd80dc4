"""Pickles read with an allow-list: what comes through, and that nothing else is ever run."""

import contextlib
import io
import os
import pickle
import random

import numpy as np
import pytest

from ppcls.data.datasets.pickles import read_dict
from ppcls.errors import DataError
from ppcls.utils.unpickling import DAMAGED, NUMPY, ArrayStandIn, RefusedError, RestrictedUnpickler, check_opcodes
from tests.utils.hostile_pickles import HOSTILE


def load(content, allowed=NUMPY, **options):
    return RestrictedUnpickler(io.BytesIO(content), allowed, **options).load()


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize("dtype", ["u1", "<f4", ">f4", "i8", "b1", "f2"])
def test_arrays(protocol, dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    for given in (array, np.asfortranarray(array)):
        (found,) = load(pickle.dumps([given], protocol))
        assert isinstance(found, ArrayStandIn)
        assert found.value.dtype == array.dtype.newbyteorder("=")
        np.testing.assert_array_equal(found.value, array)
        found.value[0, 0] = 1  # writable


def test_the_allow_list_is_the_callers():
    content = pickle.dumps({"x": pickle.PickleBuffer}, protocol=2)
    with pytest.raises(RefusedError, match=r"^_?pickle\.PickleBuffer$"):
        load(content)
    module = pickle.PickleBuffer.__module__
    assert load(content, {(module, "PickleBuffer"): "stand-in"}) == {"x": "stand-in"}
    with pytest.raises(RefusedError, match="_reconstruct"):
        load(pickle.dumps(np.zeros(1), protocol=2), {})


class Evil:
    def __reduce__(self):
        return os.mkdir, ("ran",)


def test_nothing_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RefusedError, match=r"asks|mkdir"):
        load(pickle.dumps(Evil(), protocol=2))
    assert not list(tmp_path.iterdir())


def test_the_position_is_kept():
    file = io.BytesIO(b"before" + pickle.dumps([1]) + pickle.dumps([2]))
    file.seek(6)
    check_opcodes(file)
    assert file.tell() == 6
    assert RestrictedUnpickler(file, NUMPY).load() == [1]
    assert RestrictedUnpickler(file, NUMPY).load() == [2]


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_pickles_are_no_data_sets(tmp_path, what):
    path = tmp_path / "data_batch_1"
    path.write_bytes(HOSTILE[what])
    if what == "a dict in itself":  # takes no memory, and has no images
        assert set(read_dict(path)) == {"model"}
        return
    with pytest.raises(DataError, match="damaged, or not one of the official files") as caught:
        read_dict(path)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("encoding", ["ASCII", "latin1", "bytes"])
def test_damaged_pickles(encoding):
    rng = random.Random(0)
    for protocol in (2, 4):
        content = pickle.dumps({b"data": np.zeros((2, 3), np.uint8), b"labels": [0, 1]}, protocol)
        for _ in range(500):
            changed = bytearray(content)
            for _ in range(rng.randint(1, 3)):
                changed[rng.randrange(len(changed))] = rng.randrange(256)
            with contextlib.suppress(RefusedError, *DAMAGED):
                load(bytes(changed), encoding=encoding)
