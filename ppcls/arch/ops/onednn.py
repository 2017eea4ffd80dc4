"""A small binding to oneDNN, the library of CPU kernels that Paddle's wheel contains and dygraph does not call.

It is called through its C API (https://uxlfoundation.github.io/oneDNN/group_dnnl_api.html) on the memory of Paddle's
tensors, without copies. Intel's OpenMP runtime, which Paddle loads, executes it with Paddle's threads.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Callable, List, Mapping, NamedTuple, Optional, Sequence, Tuple, TypeVar

import numpy as np
import paddle

# Values of the enumerations of oneDNN 3.x (oneapi/dnnl/dnnl_types.h and dnnl_common_types.h).
FLOAT32, BFLOAT16 = 3, 2
FLOAT_BYTES, BFLOAT16_BYTES = 4, 2
FORWARD_TRAINING, BACKWARD = 64, 128
CONVOLUTION_DIRECT, POOLING_MAX, RELU, GELU_ERF, BINARY_ADD, BINARY_MUL = 1, 0x1FF, 0x20, 0x31, 0x1FFF0, 0x1FFF1
USE_SCALE_AND_SHIFT = 2 | 4
SRC, SRC_1, DST, WEIGHTS, BIAS, MEAN, VARIANCE, SCALE, SHIFT, WORKSPACE = 1, 2, 17, 33, 41, 49, 50, 51, 52, 64
DIFF_SRC, DIFF_DST, DIFF_WEIGHTS, DIFF_SCALE, DIFF_SHIFT = 129, 145, 161, 255, 256
_DESCRIPTOR_OF = {SRC: 129, DIFF_SRC: 130, WEIGHTS: 131, DIFF_WEIGHTS: 132, DST: 133, DIFF_DST: 134, WORKSPACE: 135}
_CPU, _IN_ORDER, _ANY_LAYOUT, _IMPLEMENTATION = 1, 1, 1, 8
_MAJOR = 3  # the version whose functions are called here
_MAX_DIMS = 12
_CACHE_LINE = 64  # bytes
_CACHED_PRIMITIVES = 512  # of a thread; several image sizes need as many times the primitives of one
_generation = [0]  # of what ``cached`` keeps

Handle = ctypes.c_void_p
_T = TypeVar("_T")


class _Version(ctypes.Structure):
    _fields_ = [("major", ctypes.c_int), ("minor", ctypes.c_int), ("patch", ctypes.c_int)]


class _Argument(ctypes.Structure):
    _fields_ = [("index", ctypes.c_int), ("memory", Handle)]


class Library(NamedTuple):
    """The loaded library, its version, and the engine and stream that everything runs on."""

    functions: ctypes.CDLL
    version: str
    engine: Handle
    stream: Handle


class UnavailableError(Exception):
    """The library cannot be used; the message says why."""


class OneDNNError(RuntimeError):
    """A call of the library failed."""


@functools.cache
def load() -> Library:
    """Return the library that Paddle's wheel contains.

    Raises:
        UnavailableError: it is not there, cannot be loaded, or has another major version than 3.
    """
    files = sorted((Path(paddle.__file__).parent / "libs").glob("libdnnl.so*"))
    if not files:
        raise UnavailableError("this build of Paddle contains no oneDNN")
    try:
        functions = ctypes.CDLL(str(files[0]))
        functions.dnnl_version.restype = ctypes.POINTER(_Version)
        version = functions.dnnl_version().contents
    except (OSError, AttributeError) as error:
        raise UnavailableError(f"oneDNN cannot be loaded: {error}") from None
    text = f"{version.major}.{version.minor}.{version.patch}"
    if version.major != _MAJOR:
        raise UnavailableError(f"oneDNN {text} is not known here, only {_MAJOR}.x")
    functions.dnnl_primitive_desc_query_md.restype = Handle
    functions.dnnl_memory_desc_get_size.restype = ctypes.c_size_t
    engine, stream = Handle(), Handle()
    _check("engine_create", functions.dnnl_engine_create(ctypes.byref(engine), _CPU, ctypes.c_size_t(0)))
    _check("stream_create", functions.dnnl_stream_create(ctypes.byref(stream), engine, _IN_ORDER))
    return Library(functions, text, engine, stream)


def _check(name: str, status: int) -> None:
    if status:
        raise OneDNNError(f"oneDNN: dnnl_{name} failed with status {status}")


def create(name: str, *arguments: object) -> Handle:
    """Return what ``dnnl_<name>`` creates.

    Raises:
        OneDNNError: the library refuses the arguments.
    """
    handle = Handle()
    _check(name, getattr(load().functions, f"dnnl_{name}")(ctypes.byref(handle), *arguments))
    return handle


def dims(*values: int) -> ctypes.Array:
    """Return sizes, strides or paddings as the library takes them."""
    return (ctypes.c_int64 * _MAX_DIMS)(*values)


class Layout:
    """Shape, data type and strides of a tensor's memory.

    Args:
        shape: sizes in the order in which the library names them (NCHW for images), whatever the memory's order.
        strides: in elements; None for row-major memory.
        dtype: ``FLOAT32`` or ``BFLOAT16``.
        any_layout: let the primitive choose the strides.
    """

    handle: Handle

    def __init__(
        self,
        shape: Sequence[int],
        strides: Optional[Sequence[int]] = None,
        dtype: int = FLOAT32,
        any_layout: bool = False,
    ) -> None:
        if any_layout:
            arguments = (len(shape), dims(*shape), dtype, _ANY_LAYOUT)
            self.handle = create("memory_desc_create_with_tag", *arguments)
        else:
            strides = row_major(shape) if strides is None else strides
            self.handle = create("memory_desc_create_with_strides", len(shape), dims(*shape), dtype, dims(*strides))

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            load().functions.dnnl_memory_desc_destroy(self.handle)

    @classmethod
    def copy_of(cls, handle: Handle) -> Layout:
        """Return a layout of the library's as one of its own."""
        layout = cls.__new__(cls)
        layout.handle = create("memory_desc_clone", handle)
        return layout

    @property
    def size(self) -> int:
        """Return the size of the memory in bytes."""
        return int(load().functions.dnnl_memory_desc_get_size(self.handle))


def row_major(shape: Sequence[int]) -> List[int]:
    """Return the strides of contiguous memory."""
    strides, size = [], 1
    for extent in reversed(shape):
        strides.append(size)
        size *= extent
    return strides[::-1]


def channels_last(shape: Sequence[int], dtype: int = FLOAT32) -> Layout:
    """Return the layout of a contiguous map [B, H, W, C]; the library names its sizes in the order B, C, H, W."""
    batch, height, width, channels = shape
    strides = (height * width * channels, 1, width * channels, channels)
    return Layout((batch, channels, height, width), strides, dtype)


class Descriptor:
    """What a primitive computes, for which layouts, and how the library does it.

    Args:
        kind: of primitive and direction, as in the name of the function that creates it: "eltwise_forward".
        arguments: of this function, between the engine and the attributes.
        accumulates: add the result to what is in its memory.
        preferred: how the name of the implementation begins that is taken if there is one ("jit_dw"), instead of the
            library's first choice.

    Raises:
        OneDNNError: the library refuses the arguments.
    """

    handle: Handle

    def __init__(self, kind: str, *arguments: object, accumulates: bool = False, preferred: str = "") -> None:
        handles = [a.handle if isinstance(a, (Layout, Descriptor)) else a for a in arguments]
        engine = load().engine
        if kind == "reorder":
            self.handle = create("reorder_primitive_desc_create", handles[0], engine, handles[1], engine, None)
            return
        create_descriptor = functools.partial(create, f"{kind}_primitive_desc_create", engine, *handles)
        self.handle = create_descriptor(_summing() if accumulates else None)
        if preferred and not self._advance_to(preferred):
            load().functions.dnnl_primitive_desc_destroy(self.handle)
            self.handle = create_descriptor(_summing() if accumulates else None)

    @property
    def implementation(self) -> str:
        """Return the name of the library's implementation, such as "jit_dw:avx512_core"."""
        name = ctypes.c_char_p()
        query = load().functions.dnnl_primitive_desc_query
        _check("primitive_desc_query", query(self.handle, _IMPLEMENTATION, 0, ctypes.byref(name)))
        return (name.value or b"").decode()

    def _advance_to(self, preferred: str) -> bool:
        while not self.implementation.startswith(preferred):
            if load().functions.dnnl_primitive_desc_next_impl(self.handle):
                return False
        return True

    def chosen_layout(self, index: int) -> Layout:
        """Return the layout that the library chose for an argument."""
        query = load().functions.dnnl_primitive_desc_query_md
        return Layout.copy_of(Handle(query(self.handle, _DESCRIPTOR_OF[index], 0)))

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            load().functions.dnnl_primitive_desc_destroy(self.handle)


@functools.cache
def _summing() -> Handle:
    """Return the attributes of a primitive that adds its result to what is in the memory."""
    operations, attributes = create("post_ops_create"), create("primitive_attr_create")
    functions, scale, zero_point, undefined_type = load().functions, ctypes.c_float(1), 0, 0
    _check("append_sum", functions.dnnl_post_ops_append_sum(operations, scale, zero_point, undefined_type))
    _check("attr_set_post_ops", functions.dnnl_primitive_attr_set_post_ops(attributes, operations))
    return attributes


class Primitive:
    """One computation on tensors of fixed shapes, called with their addresses.

    Args:
        descriptor: of the primitive.
        layouts: of each argument, in the order of the addresses; None for the layout that the library chose.
    """

    def __init__(self, descriptor: Descriptor, layouts: Mapping[int, Optional[Layout]]) -> None:
        self._library = load()
        self._primitive = create("primitive_create", descriptor.handle)
        self._memories = []
        for index, layout in layouts.items():
            layout = layout or descriptor.chosen_layout(index)
            self._memories.append(create("memory_create", layout.handle, self._library.engine, None))
        self._arguments = (_Argument * len(layouts))(*map(_Argument, layouts, self._memories))
        self._set_address = self._library.functions.dnnl_memory_set_data_handle
        self._execute = self._library.functions.dnnl_primitive_execute

    def __call__(self, *addresses: int) -> None:
        """Compute; the results are written before it returns.

        Args:
            addresses: of the arguments' memory, in the order of ``layouts``.

        Raises:
            OneDNNError: the library failed.
        """
        for memory, address in zip(self._memories, addresses):
            self._set_address(memory, Handle(address))
        status = self._execute(self._primitive, self._library.stream, len(addresses), self._arguments)
        _check("primitive_execute", status)

    def __del__(self) -> None:
        functions = load().functions
        for memory in getattr(self, "_memories", ()):
            functions.dnnl_memory_destroy(memory)
        if hasattr(self, "_primitive"):
            functions.dnnl_primitive_destroy(self._primitive)


def reorder(source: Layout, destination: Layout) -> Primitive:
    """Return a copy into another layout or data type, called with the addresses of source and destination."""
    return Primitive(Descriptor("reorder", source, destination), {SRC: source, DST: destination})


def cached(build: Callable[..., _T]) -> Callable[..., _T]:
    """Keep what ``build`` makes for each set of arguments, and for each thread, since primitives hold addresses."""
    local = threading.local()

    @functools.wraps(build)
    def get(*key: object) -> _T:
        if getattr(local, "generation", None) != _generation[0]:
            local.generation, local.cache = _generation[0], OrderedDict()
        cache: OrderedDict[Tuple[object, ...], _T] = local.cache
        if key in cache:
            return cache[key]
        if len(cache) >= _CACHED_PRIMITIVES:
            cache.popitem(last=False)
        cache[key] = build(*key)
        return cache[key]

    return get


def clear_cached() -> None:
    """Drop all that ``cached`` keeps, in every thread before it computes the next time."""
    _generation[0] += 1


def buffer(size: int) -> np.ndarray:
    """Return uninitialised memory of ``size`` bytes that begins with a line of the cache."""
    memory = np.empty(size + _CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % _CACHE_LINE
    return memory[start : start + size]
