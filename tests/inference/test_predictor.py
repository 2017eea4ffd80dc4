"""Predictions from exported models, with real files in and real runtimes."""

import json
import re
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest

from ppcls import Predictor
from ppcls.arch import ops
from ppcls.errors import ConfigError, DataError
from ppcls.inference.inputs import collect
from tests.helpers.exports import assert_same_answers, changed


def test_batches_threads_and_runtimes_change_nothing(predictor, expected, digits):
    answers = predictor.predict(digits / "val")
    assert [a["file_name"] for a in answers] == [e["file_name"] for e in expected]
    assert len(expected[0]["class_ids"]) == 5
    assert expected[0]["label_names"] == [f"digit-{i}" for i in expected[0]["class_ids"]]
    assert_same_answers(answers, expected)
    assert_same_answers(list(predictor.stream(path for path in sorted((digits / "val").iterdir()))), expected)


def test_the_threads_of_the_process_stay_as_they_are(models, digits):
    if not ops.can_set_threads():
        pytest.skip("this build of Paddle has no Intel OpenMP runtime")
    ops.set_threads(3)
    try:
        one = Predictor(models / "inference", "paddle", threads=1, decode_workers=0)
        assert ops.get_threads() == 3
        one.predict(next((digits / "val").iterdir()))
        assert ops.get_threads() == 3
    finally:
        ops.reset_threads()


def test_every_way_to_give_an_image_gives_its_answer(predictor, expected, digits):
    paths = sorted((digits / "val").iterdir())[:6]
    pixels = [cv2.imread(str(path)) for path in paths]
    with paths[2].open("rb") as opened:
        images = [paths[0], paths[1].read_bytes(), opened, pixels[3][:, :, ::-1], pixels[4][:, :, 0], str(paths[5])]
        assert_same_answers(predictor.predict(images), expected[:6])
    assert_same_answers(predictor.predict(str(digits / "val" / "0[0-2]*.png")), expected[:8])


def test_one_image_is_given_again_and_again(models, expected, digits):
    pillow = pytest.importorskip("PIL.Image")
    predictor = Predictor(models / "inference", "onnx", batch_size=7, decode_workers=4)
    paths = sorted((digits / "val").iterdir())
    buffer = np.empty((*cv2.imread(str(paths[0])).shape[:2], 3), np.uint8)

    def camera():
        for path in paths:
            buffer[:] = cv2.imread(str(path))[:, :, ::-1]
            yield buffer

    assert_same_answers(list(predictor.stream(camera())), expected)
    with pillow.open(paths[0]) as opened:  # read only when it is needed
        assert_same_answers(predictor.predict([opened] * 32), expected[:1] * 32)


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
    assert_same_answers(answers, expected[:4])
    assert answers[0]["file_name"] == f"{address}/val/{names[0]}"
    assert missing["error"] == "cannot be downloaded: the server answers 404 File not found"


def test_those_who_batch_themselves_prepare_in_threads(predictor, expected, digits):
    paths = sorted((digits / "val").iterdir())
    with ThreadPoolExecutor(4) as pool:
        batch = np.stack(list(pool.map(predictor.prepare, [path.read_bytes() for path in paths])))
    assert predictor.run(batch).argmax(axis=1).tolist() == [e["class_ids"][0] for e in expected]
    with pytest.raises(DataError, match="stands for 40 images; give one"):
        predictor.prepare(digits / "val")
    with pytest.raises(DataError, match="not an image"):
        predictor.prepare(b"hello")


def test_photos_get_the_same_answers_from_checkpoint_paddle_and_onnx(models, shared, tmp_path):
    from ppcls.engine import inference
    from ppcls.engine.checkpointing import run_dir

    photos = sorted((shared / "data" / "photos").glob("*.JPEG"))[:24]
    assert photos
    ops = [{"DecodeImage": {}}, {"ResizeImage": {"resize_short": 20}}, {"CropImage": {"size": 16}}]
    tail = [{"NormalizeImage": {"mean": [0.5] * 3, "std": [0.5] * 3, "order": ""}}, {"ToCHWImage": None}]
    config = run_dir.load_recipe(models / "out", [f"Infer.transforms={json.dumps([*ops, *tail])}"])
    checkpoint = list(inference.load_pipeline(config).answers(collect(photos)))

    def change(values):
        values["PreProcess"]["transform_ops"] = [*ops, *tail]

    folder = changed(models, tmp_path / "model", change)
    for backend in ("paddle", "onnx"):
        assert_same_answers(Predictor(folder, backend).predict(photos), checkpoint)


def test_the_folder_of_a_run_is_no_export_but_says_where_that_is(models, run, tmp_path):
    folder = tmp_path / "out"
    shutil.copytree(models / "out", folder)
    hint = f", but by training; export it first: ppcls export {folder}"
    done = run("eval", "-c", models / "recipe.yaml", "--model", folder, code=2)
    assert f"not a folder written by an export{hint}\n" in done.stderr
    shutil.copytree(models / "inference", folder / "inference")
    for given in (folder, tmp_path):  # the second as of a run in stages
        with pytest.raises(DataError, match=re.escape(f"export; did you mean {folder}/inference?")):
            Predictor(given)
    (tmp_path / "other").mkdir()
    with pytest.raises(DataError, match=r"not a folder written by an export$"):
        Predictor(tmp_path / "other")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size: must be a whole number of at least 1, not 0"),
        ({"topk": 0}, "topk: must be"),
        ({"threads": 1.5}, "threads: must be"),
        ({"threads": 99999}, "threads: must be a whole number from 1 to 1024, not 99999"),
        ({"decode_workers": -1}, "decode_workers: must be a whole number of at least 0"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(models, options, message):
    with pytest.raises(ConfigError, match=message):
        Predictor(models / "inference", **options)


def test_topk_beyond_the_classes_gives_all(models, digits):
    (answer,) = Predictor(models / "inference", "onnx", topk=99).predict(digits / "val" / "000.png")
    assert sorted(answer["class_ids"]) == list(range(10))


def test_the_suffix_of_an_onnx_file_may_be_in_capitals(models, digits, tmp_path, expected):
    shutil.copy(models / "inference" / "inference.onnx", tmp_path / "MODEL.ONNX")
    assert_same_answers(Predictor(tmp_path / "MODEL.ONNX").predict(digits / "val" / "000.png"), expected[:1])


def test_images_that_the_transforms_do_not_bring_to_the_models_size(models, digits, tmp_path):
    cv2.imwrite(str(tmp_path / "wide.png"), np.zeros((16, 20, 3), np.uint8))
    answers = Predictor(models / "inference", "paddle").predict([tmp_path / "wide.png", digits / "val" / "000.png"])
    assert "make an image of [3, 16, 20], but the model takes [3, 16, 16]" in answers[0]["error"]
    assert "class_ids" in answers[1]
