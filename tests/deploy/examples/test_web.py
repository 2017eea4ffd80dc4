"""``deploy/web``: the same pixels and the same answers in Node and in the browser as in Python."""

import functools
import http.server
import json
import shutil
import subprocess
import threading

import numpy as np
import pytest

from tests.helpers.exports import answers
from tests.helpers.images import photo
from tests.helpers.recipes import ROOT

WEB = ROOT / "deploy" / "web"
NODE = shutil.which("node")
pytestmark = [pytest.mark.node, pytest.mark.skipif(not NODE, reason="needs node")]
packages = pytest.mark.skipif(not (WEB / "node_modules").is_dir(), reason="needs npm ci in deploy/web")

_PREPROCESS = """
import { readFileSync, writeFileSync } from "node:fs";
import { preprocess } from "MODULE";
const [ops, width, height, from, to] = process.argv.slice(1);
const image = { width: Number(width), height: Number(height), data: new Uint8Array(readFileSync(from)) };
const made = preprocess(image, JSON.parse(ops));
writeFileSync(to, made.data);
console.log(made.width, made.height);
"""


def in_node(image, ops, folder):
    """Return what deploy/web makes of an image [H, W, 3]."""
    (folder / "from").write_bytes(image.tobytes())
    script = _PREPROCESS.replace("MODULE", (WEB / "preprocess.js").as_uri())
    height, width = image.shape[:2]
    arguments = [json.dumps(ops), str(width), str(height), str(folder / "from"), str(folder / "to")]
    command = [NODE, "--input-type=module", "-e", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    width, height = map(int, done.stdout.split())
    return np.frombuffer((folder / "to").read_bytes(), np.uint8).reshape(height, width, 3)


@pytest.mark.parametrize(
    ("ops", "levels"),
    [
        ([{"ResizeImage": {"resize_short": 256, "interpolation": "bicubic", "backend": "pil"}}], 0),
        ([{"ResizeImage": {"size": [40, 33], "backend": "pil"}}, {"CropImage": {"size": 32, "backend": "pil"}}], 0),
        ([{"ResizeImage": {"size": [800, 500], "interpolation": "bicubic", "backend": "pil"}}], 0),
        ([{"ResizeImage": {"resize_short": 73}}, {"CropImage": {"size": [64, 56]}}], 1),
        ([{"ResizeImage": {"size": 700, "interpolation": "bicubic"}}], 1),
        ([{"ResizeImage": {"resize_short": 100, "interpolation": "bicubic"}}], 1),
    ],
)
def test_pixels_are_those_of_training(ops, levels, tmp_path):
    from ppcls.data.transforms import build_transforms

    image = photo()
    expected = build_transforms(ops)(image, np.random.default_rng(0))
    got = in_node(image, ops, tmp_path)
    assert got.shape == expected.shape
    assert np.abs(got.astype(int) - expected).max() <= levels


@pytest.mark.parametrize(
    ("op", "message"),
    [
        ({"ResizeImage": {"size": 8, "interpolation": "lanczos"}}, "interpolation lanczos of cv2"),
        ({"CropImage": {"size": 4000}}, "cannot be cropped to 4000 x 4000"),
        ({"Pad": {"padding": 2}}, "Pad"),
        ({"DecodeImage": {"to_rgb": False}}, "DecodeImage"),
    ],
)
def test_what_the_example_does_not_know_is_an_error(op, message, tmp_path):
    with pytest.raises(RuntimeError, match=message):
        in_node(photo(), [op], tmp_path)


def protobuf_field(number, content):
    """Return a field of bytes in the encoding of protocol buffers."""
    length = bytes([len(content) & 127 | 128, len(content) >> 7])
    return bytes([number << 3 | 2]) + length + content


def test_models_with_other_answers_are_refused(tmp_path):
    description = {"PreProcess": {"transform_ops": []}, "PostProcess": {"MultiLabelThreshOutput": {"threshold": 0.5}}}
    entry = protobuf_field(1, b"ppcls") + protobuf_field(2, json.dumps(description).encode())
    (tmp_path / "model").write_bytes(protobuf_field(14, entry))
    script = f"""
    import {{ readFileSync }} from "node:fs";
    import {{ Classifier }} from "{(WEB / "model.js").as_uri()}";
    const ort = {{ InferenceSession: {{ create: async () => ({{ inputNames: ["pixels"] }}) }} }};
    await Classifier.load(ort, new Uint8Array(readFileSync("{tmp_path}/model"))).catch((e) => console.log(e.message));
    """
    command = [NODE, "--input-type=module", "-e", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("the answers of this model are made by MultiLabelThreshOutput"), done.stderr


@packages
def test_node_answers_as_python(self_contained, pictures):
    command = [NODE, "classify.mjs", str(self_contained), *map(str, pictures)]
    done = subprocess.run(command, cwd=WEB, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    for line, expected in zip(lines, answers(self_contained, pictures)):
        assert [found["class_id"] for found in line["classes"]] == expected["class_ids"]
        assert [found["name"] for found in line["classes"]] == expected["label_names"]
        np.testing.assert_allclose([found["score"] for found in line["classes"]], expected["scores"], atol=1e-3)


@packages
def test_in_node_a_broken_image_does_not_stop_the_others(self_contained, pictures, tmp_path):
    (tmp_path / "wrong.jpg").write_text("no image")
    (tmp_path / "drawing.jpg").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"/>')
    broken = [str(tmp_path / "wrong.jpg"), str(tmp_path / "drawing.jpg"), "/nowhere.png"]
    command = [NODE, "classify.mjs", str(self_contained), *broken, str(pictures[0])]
    done = subprocess.run(command, cwd=WEB, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    *refused, whole = map(json.loads, done.stdout.splitlines())
    assert [line["file"] for line in refused] == broken
    assert all(line["error"] for line in refused)
    assert "error" not in whole
    assert whole["classes"]


@packages
def test_node_refuses_other_models(models, pictures):
    command = [NODE, "classify.mjs", str(models / "inference" / "inference.onnx"), str(pictures[0])]
    done = subprocess.run(command, cwd=WEB, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.endswith("take inference_self_contained.onnx, of `ppcls export --self-contained`\n")


@pytest.fixture
def site(self_contained, tmp_path):
    """Return the address of the example, served with a model, from a thread."""
    for name in ("index.html", "page.js", "model.js", "preprocess.js", "node_modules"):
        (tmp_path / name).symlink_to(WEB / name)
    (tmp_path / "model.onnx").symlink_to(self_contained)
    handler = functools.partial(_Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@packages
def test_the_page_answers_as_python(site, self_contained, pictures):
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    from selenium.webdriver.support.ui import WebDriverWait

    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("needs chromium and chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        browser.get(site)
        wait = WebDriverWait(browser, 30)
        status = browser.find_element("id", "status")
        wait.until(lambda _: status.text != "Loading the model.")
        assert status.text == "Choose an image."
        for picture, expected in zip(pictures, answers(self_contained, pictures)):
            browser.find_element("id", "file").send_keys(str(picture))
            wait.until(lambda _, name=picture.name: status.text.startswith((f"{name}:", "Error")))
            items = browser.find_elements("css selector", "#classes li")
            assert [int(item.get_attribute("data-class-id")) for item in items] == expected["class_ids"], status.text
            scores = [float(item.get_attribute("data-score")) for item in items]
            np.testing.assert_allclose(scores, expected["scores"], atol=1e-3)
            assert items[0].text.startswith(expected["label_names"][0] + ": ")
        assert not browser.get_log("browser")
    finally:
        browser.quit()
