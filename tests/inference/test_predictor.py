"""Predictions from exported models, with real files in and real runtimes."""

import ast
import json
import os
import pickle
import re
import shutil
import struct
import subprocess
import sys
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

from ppcls import Predictor
from ppcls.errors import ConfigError, DataError
from ppcls.inference.inputs import collect
from tests.helpers.exports import changed
from tests.helpers.recipes import ROOT

# Nothing but what a machine has that only runs ONNX models.
_WITHOUT = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "paddle" or name.startswith(FORBIDDEN):
            raise ImportError(f"{name} must not be imported")

FORBIDDEN = tuple(f"ppcls.{part}" for part in ("arch", "config.schema", "engine", "loss", "metric", "optimizer"))
sys.meta_path.insert(0, Blocker())
"""


@pytest.fixture(scope="module", params=["paddle", "onnx", "self-contained"])
def predictor(request, models):
    """Return a predictor on each runtime, and on the ONNX model that normalizes by itself."""
    if request.param == "self-contained":
        return Predictor(models / "inference" / "inference_self_contained.onnx", batch_size=7)
    return Predictor(models / "inference", backend=request.param, batch_size=7)


@pytest.fixture(scope="module")
def expected(models, digits):
    """Return what Paddle answers on the validation images, one by one, without threads."""
    one = Predictor(models / "inference", "paddle", batch_size=1, decode_workers=0)
    return [one.predict(path)[0] for path in sorted((digits / "val").iterdir())]


def same(answers, expected):
    assert [a["class_ids"] for a in answers] == [e["class_ids"] for e in expected]
    assert [a["label_names"] for a in answers] == [e["label_names"] for e in expected]
    # 1e-5, and what rounding to five digits can add to it
    np.testing.assert_allclose([a["scores"] for a in answers], [e["scores"] for e in expected], rtol=0, atol=1.01e-5)


def test_batches_threads_and_runtimes_change_nothing(predictor, expected, digits):
    answers = predictor.predict(digits / "val")
    assert [a["file_name"] for a in answers] == [e["file_name"] for e in expected]
    assert len(expected[0]["class_ids"]) == 5
    assert expected[0]["label_names"] == [f"digit-{i}" for i in expected[0]["class_ids"]]
    same(answers, expected)
    same(list(predictor.stream(path for path in sorted((digits / "val").iterdir()))), expected)


def test_every_way_to_give_an_image_gives_its_answer(predictor, expected, digits):
    paths = sorted((digits / "val").iterdir())[:6]
    pixels = [cv2.imread(str(path)) for path in paths]
    with paths[2].open("rb") as opened:
        images = [paths[0], paths[1].read_bytes(), opened, pixels[3][:, :, ::-1], pixels[4][:, :, 0], str(paths[5])]
        same(predictor.predict(images), expected[:6])
    same(predictor.predict(str(digits / "val" / "0[0-2]*.png")), expected[:8])


def test_one_image_is_given_again_and_again(models, expected, digits):
    pillow = pytest.importorskip("PIL.Image")
    predictor = Predictor(models / "inference", "onnx", batch_size=7, decode_workers=4)
    paths = sorted((digits / "val").iterdir())
    buffer = np.empty((*cv2.imread(str(paths[0])).shape[:2], 3), np.uint8)

    def camera():
        for path in paths:
            buffer[:] = cv2.imread(str(path))[:, :, ::-1]
            yield buffer

    same(list(predictor.stream(camera())), expected)
    with pillow.open(paths[0]) as opened:  # read only when it is needed
        same(predictor.predict([opened] * 32), expected[:1] * 32)


def test_urls_are_predicted_and_their_failures_reported(models, expected, digits):
    handler = partial(SimpleHTTPRequestHandler, directory=str(digits))
    handler.log_message = None
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        names = [path.name for path in sorted((digits / "val").iterdir())[:4]]
        predictor = Predictor(models / "inference", "onnx")
        *answers, missing = predictor.predict([f"{address}/val/{name}" for name in (*names, "nothing.png")])
        server.shutdown()
        thread.join()
    same(answers, expected[:4])
    assert answers[0]["file_name"] == f"{address}/val/{names[0]}"
    assert missing["error"] == "cannot be downloaded: HTTP 404 File not found"


def test_those_who_batch_themselves_prepare_in_threads(predictor, expected, digits):
    paths = sorted((digits / "val").iterdir())
    with ThreadPoolExecutor(4) as pool:
        batch = np.stack(list(pool.map(predictor.prepare, [path.read_bytes() for path in paths])))
    assert predictor.run(batch).argmax(axis=1).tolist() == [e["class_ids"][0] for e in expected]
    with pytest.raises(DataError, match="means 40 images, and one is wanted"):
        predictor.prepare(digits / "val")
    with pytest.raises(DataError, match="not an image"):
        predictor.prepare(b"hello")


def test_photos_get_the_same_answers_from_checkpoint_paddle_and_onnx(models, shared, tmp_path):
    from ppcls.engine import inference
    from ppcls.engine.checkpointing import run_contents

    photos = sorted((shared / "data" / "photos").glob("*.JPEG"))[:24]
    assert photos
    ops = [{"DecodeImage": {}}, {"ResizeImage": {"resize_short": 20}}, {"CropImage": {"size": 16}}]
    tail = [{"NormalizeImage": {"mean": [0.5] * 3, "std": [0.5] * 3, "order": ""}}, {"ToCHWImage": None}]
    config = run_contents.recipe(models / "out", [f"Infer.transforms={json.dumps([*ops, *tail])}"])
    checkpoint = list(inference.load_pipeline(config).answers(collect(photos)))

    def change(values):
        values["PreProcess"]["transform_ops"] = [*ops, *tail]

    folder = changed(models, tmp_path / "model", change)
    for backend in ("paddle", "onnx"):
        same(Predictor(folder, backend).predict(photos), checkpoint)


def png(width, height, rows=b"", extra=b""):
    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def text_bomb():
    """Return a small PNG whose comment is a quarter of a gigabyte when it is unpacked."""
    packer = zlib.compressobj(9)
    zeros = bytes(2**24)
    packed = b"".join(packer.compress(zeros) for _ in range(16)) + packer.flush()
    content = b"zTXt" + b"Comment\0\0" + packed
    chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    return png(16, 16, (b"\0" + bytes(48)) * 16, chunk)


BROKEN = {
    "empty.jpg": (b"", "the file is empty"),
    "cut.png": (png(16, 16)[:40], "truncated"),
    "page.jpg": (b"<!DOCTYPE html><html>404</html>", "a web page or XML"),
    "drawing.jpg": (b'<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16"/>', "a web page or XML"),
    "drawing2.jpg": (b'<?xml version="1.0"?>\n<svg width="16" height="16"/>', "a web page or XML"),
    "text.png": (b"hello there", "not an image: text"),
    "huge.png": (png(30_000, 30_000), "30000 x 30000, more than"),
    "zip.jpg": (b"PK\x03\x04" + bytes(range(256)) * 4, "cannot be decoded"),
    "empty_pixels.png": (png(16, 16), "cannot be decoded"),
}


def test_broken_images_are_reported_and_the_others_answered(predictor, expected, digits, tmp_path):
    paths = sorted((digits / "val").iterdir())[: len(BROKEN)]
    images = []
    for (name, (content, _)), path in zip(BROKEN.items(), paths):
        (tmp_path / name).write_bytes(content)
        images += [tmp_path / name, path]
    answers = predictor.predict(images)
    same(answers[1::2], expected[: len(BROKEN)])
    for answer, (name, (_, message)) in zip(answers[::2], BROKEN.items()):
        assert set(answer) == {"file_name", "error"}
        assert answer["file_name"].endswith(name)
        assert message in answer["error"], name


def test_odd_but_whole_images_are_answered(models, tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    predictor = Predictor(models / "inference", "onnx")
    rng = np.random.default_rng(0)
    small = np.kron(rng.integers(0, 256, (4, 4, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    image, other = pillow.fromarray(small), pillow.fromarray(255 - small)
    image.save(tmp_path / "plain.png")
    image.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=100, subsampling=0)
    image.save(tmp_path / "animated.gif", save_all=True, append_images=[other] * 3)
    cv2.imwrite(str(tmp_path / "sixteen.png"), small[:, :, ::-1].astype(np.uint16) * 257)
    answers = {Path(a["file_name"]).name: a for a in predictor.predict(tmp_path)}
    plain = answers["plain.png"]["scores"]
    assert answers["sixteen.png"]["scores"] == plain
    np.testing.assert_allclose(answers["animated.gif"]["scores"], plain, atol=0.05)  # of 256 colours
    np.testing.assert_allclose(answers["cmyk.jpg"]["scores"], plain, atol=0.05)
    assert answers["cmyk.jpg"]["class_ids"][0] == answers["plain.png"]["class_ids"][0]


def test_an_unpacked_comment_does_not_fill_memory(models, tmp_path):
    (tmp_path / "bomb.png").write_bytes(text_bomb())
    code = """
import resource, sys
from ppcls import Predictor
predictor = Predictor(sys.argv[1], "onnx")
predictor.predict(sys.argv[3])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert "class_ids" in predictor.predict(sys.argv[2])[0]
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    (tmp_path / "plain.png").write_bytes(png(16, 16, (b"\0" + bytes(48)) * 16))
    paths = [models / "inference", tmp_path / "bomb.png", tmp_path / "plain.png"]
    assert int(process(code, *paths)) < 100  # MiB


def process(code, *arguments):
    return process_of(code, *arguments).stdout


def process_of(code, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done


def test_the_folder_of_a_run_is_no_export_but_says_where_that_is(models, run, tmp_path):
    folder = tmp_path / "out"
    shutil.copytree(models / "out", folder)
    hint = f", but by training; export it first: ppcls export {folder}"
    for command in (("serve", folder), ("eval", "-c", models / "recipe.yaml", "--model", folder)):
        assert f"not a folder written by an export{hint}\n" in run(*command, code=2).stderr
    shutil.copytree(models / "inference", folder / "inference")
    for given in (folder, tmp_path):  # the second as of a run in stages
        with pytest.raises(DataError, match=re.escape(f"export; did you mean {folder}/inference?")):
            Predictor(given)
    (tmp_path / "other").mkdir()
    with pytest.raises(DataError, match=r"not a folder written by an export$"):
        Predictor(tmp_path / "other")


def test_plain_runtimes_say_nothing_while_they_load_a_model(models, digits):
    load = "import onnxruntime, sys; [onnxruntime.InferenceSession(path) for path in sys.argv[1:]]"
    assert process_of(load, *sorted((models / "inference").glob("*.onnx"))).stderr == ""
    predict = "import ppcls, sys; ppcls.Predictor(sys.argv[1], 'paddle').predict(sys.argv[2])"
    said = process_of(predict, models / "inference", digits / "val" / "000.png")
    assert (said.stdout, said.stderr) == ("", "")


def test_what_paddle_says_while_it_loads_a_model_goes_to_standard_error_but_for_one_line():
    code = """
import ctypes
from ppcls.inference.backends.paddle import _standard_output_kept_clean
libc = ctypes.CDLL(None)
with _standard_output_kept_clean():
    for line in (b"ReduceMeanCheckIfOneDNNSupport", b"a real error", b"ReduceMeanCheckIfOneDNNSupport failed"):
        libc.puts(line)
print("a result")
"""
    said = process_of(code)
    assert said.stdout == "a result\n"
    assert said.stderr == "a real error\nReduceMeanCheckIfOneDNNSupport failed\n"


def test_onnx_needs_neither_paddle_nor_the_training_code(models, digits, expected):
    code = (
        _WITHOUT
        + """
import json
from ppcls.inference import Predictor
print(json.dumps(Predictor(sys.argv[1], backend="auto").predict(sys.argv[2])))
assert not any(name.split(".")[0] in ("paddle", "pydantic") for name in sys.modules)
"""
    )
    for model in ("inference/inference.onnx", "inference"):
        same(json.loads(process(code, models / model, digits / "val")), expected)


def test_memory_does_not_grow_with_the_number_of_images(models, digits):
    code = """
import resource, sys
import numpy as np
from ppcls import Predictor
predictor = Predictor(sys.argv[1], "onnx", batch_size=8)

def images(count):
    for _ in range(count):
        yield np.zeros((16, 16, 3), np.uint8)

for _ in predictor.stream(images(200)):
    pass
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for _ in predictor.stream(images(6000)):
    pass
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    assert float(process(code, models / "inference")) < 8  # MiB; the prepared images alone would be 18


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, not 0"),
        ({"topk": 0}, "topk must be"),
        ({"threads": 1.5}, "threads must be"),
        ({"threads": 99999}, "threads must be a whole number from 1 to 1024, not 99999"),
        ({"decode_workers": -1}, "decode_workers must be a whole number of at least 0"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(models, options, message):
    with pytest.raises(ConfigError, match=message):
        Predictor(models / "inference", **options)


def test_a_pickled_predictor_opens_its_export_in_another_process(models, expected, digits, monkeypatch):
    monkeypatch.chdir(models)
    images = sorted((digits / "val").iterdir())[:3]
    packed = pickle.dumps(Predictor("inference", "onnx", batch_size=2, topk=3))
    code = "import pickle, sys; print(pickle.loads(bytes.fromhex(sys.argv[1])).predict(sys.argv[2:]))"
    answers = ast.literal_eval(process(code, packed.hex(), *images))
    assert [answer["class_ids"] for answer in answers] == [answer["class_ids"][:3] for answer in expected[:3]]


def test_topk_beyond_the_classes_gives_all(models, digits):
    (answer,) = Predictor(models / "inference", "onnx", topk=99).predict(digits / "val" / "000.png")
    assert sorted(answer["class_ids"]) == list(range(10))


def test_the_suffix_of_an_onnx_file_may_be_in_capitals(models, digits, tmp_path, expected):
    shutil.copy(models / "inference" / "inference.onnx", tmp_path / "MODEL.ONNX")
    same(Predictor(tmp_path / "MODEL.ONNX").predict(digits / "val" / "000.png"), expected[:1])


@pytest.mark.parametrize(
    ("before", "after"), [("pop('ORT_DISABLE_TELEMETRY', None)", "1"), ("update(ORT_DISABLE_TELEMETRY='0')", "0")]
)
def test_onnx_runtime_sends_nothing_unless_the_user_says_so(models, before, after):
    code = (
        f"import os, sys; os.environ.{before}; import ppcls; ppcls.Predictor(sys.argv[1], 'onnx'); "
        "print(os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    assert process(code, models / "inference").strip() == after


def test_images_that_the_transforms_do_not_bring_to_the_models_size(models, digits, tmp_path):
    cv2.imwrite(str(tmp_path / "wide.png"), np.zeros((16, 20, 3), np.uint8))
    answers = Predictor(models / "inference", "paddle").predict([tmp_path / "wide.png", digits / "val" / "000.png"])
    assert "make an image of [3, 16, 20], but the model takes [3, 16, 16]" in answers[0]["error"]
    assert "class_ids" in answers[1]
