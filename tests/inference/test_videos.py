"""Video files, cameras and streams."""

import csv
import json

import cv2
import numpy as np
import pytest

from ppcls.errors import ConfigError, DataError
from ppcls.inference.videos import collect, frames

RATE = 10  # frames per second


def write_video(path, pictures, codec="MJPG"):
    """Write one second of each picture [H, W, 3] RGB."""
    height, width = pictures[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), RATE, (width, height))
    assert writer.isOpened()
    for picture in pictures:
        for _ in range(RATE):
            writer.write(np.ascontiguousarray(picture[:, :, ::-1]))
    writer.release()
    return path


def flat(*colors):
    return [np.full((48, 64, 3), color, np.uint8) for color in colors]


RED, GREEN, BLUE = (200, 30, 30), (30, 200, 30), (30, 30, 200)


@pytest.mark.parametrize(("suffix", "codec"), [(".avi", "MJPG"), (".mp4", "mp4v")])
def test_frames_by_the_second(tmp_path, suffix, codec):
    path = write_video(tmp_path / f"clip{suffix}", flat(RED, GREEN, BLUE), codec)
    found = list(frames(path, every=0.5))
    assert [source.name for source in found] == [f"{path}#t={time}" for time in ("0", "0.5", "1", "1.5", "2", "2.5")]
    assert [source.name.time for source in found] == [0, 0.5, 1, 1.5, 2, 2.5]
    means = [source.read().mean((0, 1)) for source in found]
    for mean, color in zip(means, (RED, RED, GREEN, GREEN, BLUE, BLUE)):
        np.testing.assert_allclose(mean, color, atol=15)


def test_all_frames_and_odd_distances(tmp_path):
    path = write_video(tmp_path / "clip.avi", flat(RED, GREEN))
    assert len(list(frames(path, every=0))) == 2 * RATE
    assert [source.name.time for source in frames(path, every=0.25)] == [0, 0.3, 0.5, 0.8, 1, 1.3, 1.5, 1.8]
    with pytest.raises(ConfigError, match="every"):
        frames(path, every=-1)


def test_stopping(tmp_path):
    path = write_video(tmp_path / "clip.avi", flat(RED, GREEN))
    seen = []
    for source in frames(path, every=0, stopped=lambda: len(seen) == 3):
        seen.append(source)
    assert len(seen) == 3


def errors(path):
    found = list(frames(path, every=0))
    assert all(isinstance(source.read(), np.ndarray) for source in found[:-1])
    with pytest.raises(DataError) as caught:
        found[-1].read()
    return found, str(caught.value)


def test_a_video_that_is_cut_off(tmp_path):
    path = write_video(tmp_path / "clip.avi", [*flat(RED, GREEN, BLUE), *flat(RED, GREEN, BLUE)])
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    found, error = errors(path)
    assert 15 < len(found) < 45
    assert error == f"the video is cut off or damaged here: {len(found) - 1} of 60 frames can be read"
    assert found[-1].name.time == found[-2].name.time


@pytest.mark.parametrize("content", [b"", b"not a video", None])
def test_what_is_no_video(tmp_path, content):
    path = tmp_path / "clip.mp4"
    if content is not None:
        path.write_bytes(content)
    found, error = errors(path)
    assert [source.name for source in found] == [str(path)]
    assert error in ("the file is empty", "no such file") or "not a video that OpenCV can read" in error


def test_cameras_and_streams_that_are_not_there():
    (source,) = frames("camera:97")
    with pytest.raises(DataError, match="no camera 97"):
        source.read()
    (source,) = frames("rtsp://127.0.0.1:9/x")
    with pytest.raises(DataError, match="cannot be opened within 15 s"):
        source.read()
    assert collect(["camera:97"]).is_live


@pytest.fixture
def clip(digits, tmp_path):
    """Return a video of three digits, a second each."""
    pictures = [cv2.imread(str(digits / "val" / f"{name}.png"))[:, :, ::-1] for name in ("000", "004", "008")]
    return write_video(tmp_path / "clip.avi", pictures)


def test_answers(trained, digits, clip, run, tmp_path):
    image = digits / "val" / "000.png"
    done = run("infer", trained / "out", clip, image, "--every", "0.5")
    answers = json.loads(done.stdout)
    assert [answer.get("time") for answer in answers] == [0, 0.5, 1, 1.5, 2, 2.5, None]
    assert answers[1]["file_name"] == f"{clip}#t=0.5"
    expected = json.loads(
        run("infer", trained / "out", *(digits / "val" / f"{n}.png" for n in ("000", "004", "008"))).stdout
    )
    classes = [answer["class_ids"][0] for answer in answers]
    assert classes[0:6:2] == classes[1:6:2] == [answer["class_ids"][0] for answer in expected]
    assert answers[-1] == expected[0]

    run("infer", trained / "out", clip, "--out", tmp_path / "answers.csv")
    rows = list(csv.DictReader((tmp_path / "answers.csv").open(encoding="utf-8-sig")))
    assert [(row["time"], int(row["class_id"])) for row in rows] == list(zip(("0.0", "1.0", "2.0"), classes[0:6:2]))


def test_parquet_has_the_time(trained, clip, run, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow")
    run("infer", trained / "out", clip, "--out", tmp_path / "answers.parquet")
    table = parquet.read_table(tmp_path / "answers.parquet").to_pydict()
    assert table["time"] == [0, 1, 2]


def test_a_broken_video_among_others(trained, clip, run, tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"not a video")
    done = run("infer", trained / "out", tmp_path / "bad.mp4", clip, code=2)
    answers = json.loads(done.stdout)
    assert answers[0] == {"file_name": str(tmp_path / "bad.mp4"), "error": answers[0]["error"]}
    assert len(answers) == 4
    assert "bad.mp4: not a video" in done.stderr


def test_options(trained, digits, clip, run):
    done = run("infer", trained / "out", digits / "val", "--every", "1", code=2)
    assert "--every: applies to videos" in done.stderr
    assert "works for images" in run("infer", trained / "out", clip, "--features", "x.npy", code=2).stderr
    assert "every" in run("infer", trained / "out", clip, "--every", "-1", code=2).stderr
