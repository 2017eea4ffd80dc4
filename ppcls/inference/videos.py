"""Frames of video files, cameras and network streams, some per second, to predict like images."""

from __future__ import annotations

import itertools
import math
import os
import re
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Iterator, List, Optional, Sequence, Union

import numpy as np

from ppcls.errors import ConfigError, DataError
from ppcls.inference import inputs
from ppcls.inference.pipeline import Pipeline
from ppcls.inference.source import FrameName, Source
from ppcls.utils.opencv import cv2
from ppcls.utils.paths import user_path

# FFmpeg's own lines on standard error; what is wrong is in the answer. Read when the first video is opened.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

SUFFIXES = (
    *(
        ".mp4",
        ".m4v",
        ".mov",
        ".avi",
        ".mkv",
        ".webm",
        ".mpg",
        ".mpeg",
        ".wmv",
        ".flv",
        ".ogv",
        ".3gp",
        ".mts",
        ".m2ts",
    ),
)
_CAMERA = re.compile(r"camera:(\d{1,4})")
_PROTOCOLS = ("rtsp://", "rtsps://", "rtmp://", "udp://", "srt://")
_TIMEOUT = 15_000  # milliseconds without a picture of a network stream
_TOLERANCE = 1e-3  # seconds by which the time of a frame may be rounded
_MISSING = (5, 0.02)  # frames, and share of frames, by which the count in a file's header may be wrong


@dataclass(frozen=True)
class Video:
    """Something that gives pictures one after the other.

    Attributes:
        name: as the user wrote it; frames are named after it.
        target: what OpenCV opens: a path, an address, or the number of a camera.
        is_live: whether it goes on until it is stopped.
    """

    name: str
    target: Union[str, int]
    is_live: bool = False


@dataclass(frozen=True)
class Collected:
    """What to predict: images, and videos whose frames are images.

    Attributes:
        items: sources and videos, in order.
    """

    items: Sequence[Union[Source, Video]]

    @property
    def has_videos(self) -> bool:
        """Whether there are videos."""
        return any(isinstance(item, Video) for item in self.items)

    @property
    def is_live(self) -> bool:
        """Whether there are videos that go on until they are stopped."""
        return any(isinstance(item, Video) and item.is_live for item in self.items)

    @property
    def total(self) -> Optional[int]:
        """The number of images; None where there are videos."""
        return None if self.has_videos else len(self.items)

    def sources(self, every: float, stopped: Callable[[], bool] = lambda: False) -> Iterator[Source]:
        """Return all images; see ``frames``."""
        require_seconds(every)
        return itertools.chain.from_iterable(
            _frames(item, every, stopped) if isinstance(item, Video) else (item,) for item in self.items
        )


def collect(images: Sequence[str]) -> Collected:
    """Return what arguments of the command line mean: those of ``inputs.collect``, and videos.

    Raises:
        DataError: a path does not exist, or there are no images.
    """
    items: List[Union[Source, Video]] = []
    for image in images:
        stream = find_stream(image)
        found = [stream] if stream is not None else [find_file(source) or source for source in inputs.collect([image])]
        items += found
    return Collected(items)


def live_pipeline(pipeline: Pipeline, batch_size: Optional[int]) -> Pipeline:
    """Return a pipeline that answers each frame of a live video at once: nothing is read ahead.

    Args:
        batch_size: as the user gave it; None for 1.
    """
    return replace(pipeline, batch_size=batch_size or 1, decode_workers=0)


def require_seconds(every: float) -> None:
    """Refuse what is no distance between frames.

    Raises:
        ConfigError: it is negative or infinite.
    """
    if not 0 <= every < math.inf:
        raise ConfigError(f"every: the seconds from one frame to the next are a number of at least 0, not {every}")


def find_stream(text: str) -> Optional[Video]:
    """Return the camera (``camera:0``) or network stream (``rtsp://...``) that a text names; None for anything else."""
    camera = _CAMERA.fullmatch(text)
    if camera is not None:
        return Video(text, int(camera[1]), is_live=True)
    return Video(text, text, is_live=True) if text.lower().startswith(_PROTOCOLS) else None


def find_file(source: Source) -> Optional[Video]:
    """Return the video file that a source is; None for an image."""
    is_video = isinstance(source.data, Path) and source.data.suffix.lower() in SUFFIXES
    return Video(source.name, str(source.data)) if is_video else None


def frames(
    video: Union[str, os.PathLike[str], Video], every: float = 1.0, stopped: Callable[[], bool] = lambda: False
) -> Iterator[Source]:
    """Yield frames of a video, as what ``predict`` and ``stream`` of a predictor take.

    A frame is named ``clip.mp4#t=1.5``, by its time in seconds. Of a live video the time counts from its first frame.
    What is wrong with a video is yielded as the last source, which raises the error when it is read.

    Args:
        video: a file, ``camera:0`` or an address (``rtsp://...``).
        every: seconds from one frame to the next; 0 for all frames.
        stopped: asked before each frame whether to end.

    Raises:
        ConfigError: ``every`` is negative or infinite.
    """
    require_seconds(every)
    if not isinstance(video, Video):
        text = os.fspath(video)
        video = find_stream(text) or Video(text, str(user_path(text)))
    return _frames(video, every, stopped)


def _frames(video: Video, every: float, stopped: Callable[[], bool]) -> Iterator[Source]:
    capture = _open(video)
    try:
        if not capture.isOpened():
            yield Source(video.name, DataError(_why_closed(video)))
            return
        clock = _Clock(video, capture)
        due = 0.0
        while not stopped() and capture.grab():
            now = clock.tick()
            if now + _TOLERANCE < due:
                continue
            name = FrameName(video.name, now)
            is_read, pixels = capture.retrieve()
            yield Source(name, _rgb(pixels) if is_read else DataError("the frame cannot be decoded"))
            due = ((now + _TOLERANCE) // every + 1) * every if every else 0.0
        if not stopped():
            problem = _why_ended(video, capture, clock.frames)
            if problem is not None:
                yield Source(FrameName(video.name, clock.now), DataError(problem))
    finally:
        capture.release()


class _Clock:
    """Tells the time of each frame, in seconds from the first one.

    Attributes:
        frames: how many there were.
        now: time of the last one.
    """

    def __init__(self, video: Video, capture: Any) -> None:
        self.frames, self.now = 0, 0.0
        self._is_live, self._capture = video.is_live, capture
        self._begin: Optional[float] = None
        self._rate = capture.get(cv2.CAP_PROP_FPS)

    def tick(self) -> float:
        """Return the time of the frame that was just grabbed."""
        stamp = time.monotonic() if self._is_live else self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if self._begin is None:
            self._begin = stamp
        elapsed = stamp - self._begin
        if not self._is_live and elapsed <= self.now and self.frames and self._rate > 0:  # no time stamps in the file
            elapsed = self.frames / self._rate
        self.frames, self.now = self.frames + 1, elapsed
        return elapsed


def _open(video: Video) -> Any:
    if isinstance(video.target, int):
        return cv2.VideoCapture(video.target)
    if video.is_live:
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _TIMEOUT, cv2.CAP_PROP_READ_TIMEOUT_MSEC, _TIMEOUT]
        return cv2.VideoCapture(video.target, cv2.CAP_FFMPEG, limits)
    capture = cv2.VideoCapture(video.target, cv2.CAP_FFMPEG)
    return capture if capture.isOpened() else cv2.VideoCapture(video.target)  # OpenCV without FFmpeg


def _why_closed(video: Video) -> str:
    if isinstance(video.target, int):
        return f"there is no camera {video.target}, or another program uses it"
    if video.is_live:
        return f"the stream cannot be opened within {_TIMEOUT // 1000} s"
    size = Path(video.target).stat().st_size if Path(video.target).is_file() else None
    if size is None:
        return "no such file"
    return "the file is empty" if not size else "not a video that OpenCV can read: it is cut off, damaged, or no video"


def _why_ended(video: Video, capture: Any, count: int) -> Optional[str]:
    """Return what is wrong with a video that has ended, None if nothing is."""
    if video.is_live:
        return "the stream has ended: no more frames came"
    if not count:
        return "no frame of the video can be read"
    expected = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    if expected - count > max(_MISSING[0], _MISSING[1] * expected):
        return f"the video is cut off or damaged here: {count} of {expected} frames can be read"
    return None


def _rgb(pixels: np.ndarray) -> np.ndarray:
    """Return a frame as RGB [H, W, 3]."""
    code = cv2.COLOR_GRAY2RGB if pixels.ndim == 2 or pixels.shape[2] == 1 else cv2.COLOR_BGR2RGB
    return cv2.cvtColor(pixels, code)
