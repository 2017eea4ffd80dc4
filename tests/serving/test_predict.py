"""What the server answers to good requests, and to images of all kinds."""

import base64
import io
import json
import re

import cv2
import httpx
import numpy as np
import pytest
from PIL import Image

import ppcls
from ppcls.inference import occlusion
from ppcls.serving import schemas
from tests.helpers.recipes import ROOT
from tests.helpers.serving import encode


@pytest.fixture(scope="module")
def predictor(exported):
    return ppcls.Predictor(str(exported))


@pytest.fixture(scope="module")
def pictures(photo):
    rng = np.random.default_rng(1)
    return [photo, encode(rng.integers(0, 256, (16, 16, 3), np.uint8)), encode(np.full((16, 16), 200, np.uint8))]


def without_names(results):
    return [{key: value for key, value in result.items() if key != "file_name"} for result in results]


def test_every_form_of_a_request_gives_the_predictors_answers(client, predictor, pictures):
    expected = without_names(predictor.predict(pictures))
    multipart = client.post("/predict", files=[("x", (f"{n}.png", data)) for n, data in enumerate(pictures)]).json()
    assert [result["file_name"] for result in multipart["results"]] == ["0.png", "1.png", "2.png"]
    assert multipart["model"] == "ConvMixer"
    assert set(multipart["milliseconds"]) == {"receive", "decode", "wait", "model", "total"}
    texts = [base64.b64encode(data).decode() for data in pictures]
    items = [texts[0], {"name": "b", "data": texts[1]}, f"data:image/png;base64,{texts[2]}"]
    in_json = client.post("/predict", json={"images": items}).json()
    assert [result["file_name"] for result in in_json["results"]] == ["image 1", "b", "image 3"]
    raw = [client.post("/predict", content=data, headers={"Content-Type": "image/png"}).json() for data in pictures]
    for results in (multipart["results"], in_json["results"], [answer["results"][0] for answer in raw]):
        for got, wanted in zip(without_names(results), expected):
            assert got["class_ids"] == wanted["class_ids"]
            assert got["label_names"] == wanted["label_names"]
            assert got["scores"] == pytest.approx(wanted["scores"], abs=2e-5)  # batches of other sizes


@pytest.mark.parametrize(("topk", "count"), [(1, 1), (3, 3), (10, 10)])
def test_topk(client, photo, topk, count):
    (result,) = client.post(f"/predict?topk={topk}", files={"a": ("a.png", photo)}).json()["results"]
    assert len(result["class_ids"]) == len(result["scores"]) == len(result["label_names"]) == count


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/predict?topk=0", "topk 0: must be at least 1"),
        ("/predict?topk=11", "topk 11: the model has 10 classes"),
        ("/predict?topk=x", "topk 'x': must be a whole number"),
        ("/predict?topkk=1", "topkk: unknown option; /predict takes topk"),
        ("/predict?topk=1&topk=2", "topk: given 2 times"),
        ("/saliency?topk=1", "topk: unknown option; /saliency takes class_id, grid"),
    ],
)
def test_wrong_options(client, photo, path, message):
    answer = client.post(path, files={"file": ("a.png", photo)})
    assert answer.status_code == 422
    assert answer.json() == {"error": message}


def test_a_broken_image_is_reported_beside_the_good_ones(client, photo):
    files = [("x", ("good.png", photo)), ("x", ("cut.png", photo[:-20])), ("x", ("empty.png", b""))]
    answer = client.post("/predict", files=files)
    assert answer.status_code == 200
    good, cut, empty = answer.json()["results"]
    assert len(good["class_ids"]) == 5
    assert cut == {"file_name": "cut.png", "error": cut["error"]}
    assert "the PNG is truncated" in cut["error"]
    assert "the file is empty" in empty["error"]
    answer = client.post("/predict", files=files[1:])
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("no image can be used: cut.png: ")
    assert answer.json()["results"] == [cut, empty]


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../../../etc/passwd", "file:///etc/passwd", "a\u00e9\u4e2d.png", "x" * 999]
)
def test_names_are_only_repeated(client, photo, name):
    (result,) = client.post("/predict", files={"a": (name, photo)}).json()["results"]
    assert result["file_name"] == (name if len(name) < 256 else "x" * 254 + "…")
    assert "class_ids" in result
    answer = client.post("/predict", json={"images": [{"name": name, "data": ""}]})
    assert "root:" not in answer.text
    for path in (f"/{name[:200]}", "/..%2f..%2fapp.py", "/page/index.html", "/app.py", "/%2e%2e/app.py"):
        assert client.get(path).status_code == 404


def pillow(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def usual_images():
    rng = np.random.default_rng(2)
    colour = Image.fromarray(rng.integers(0, 256, (40, 30, 3), np.uint8)).resize((16, 16))
    frames = [Image.new("RGB", (16, 16), shade) for shade in ("red", "green", "blue")]
    deep = rng.integers(0, 65536, (16, 16, 3), np.uint16)
    return {
        "cmyk.jpg": pillow(colour.convert("CMYK"), "JPEG"),
        "16-bit.png": cv2.imencode(".png", deep)[1].tobytes(),
        "16-bit.tif": cv2.imencode(".tif", deep)[1].tobytes(),
        "animated.gif": pillow(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "animated.webp": pillow(frames[0], "WEBP", save_all=True, append_images=frames[1:]),
        "grey.jpg": pillow(colour.convert("L"), "JPEG"),
        "palette.png": pillow(colour.convert("P"), "PNG"),
        "alpha.png": pillow(colour.convert("RGBA"), "PNG"),
        "bilevel.bmp": pillow(colour.convert("1"), "BMP"),
    }


@pytest.mark.parametrize(("name", "data"), usual_images().items(), ids=usual_images())
def test_unusual_images_are_answered(client, predictor, name, data):
    answer = client.post("/predict", files={"a": (name, data)})
    if name == "animated.webp" and answer.status_code == 422:  # OpenCV 4 reads still pictures only
        assert "cannot be decoded" in answer.text
        return
    assert answer.status_code == 200, answer.text
    (expected,) = predictor.predict(data)
    assert answer.json()["results"][0]["scores"] == pytest.approx(expected["scores"], abs=2e-5)


IMPOSTORS = {
    "svg.jpg": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
    "xml.jpg": b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><svg>&a;</svg>",
    "html.jpg": b"<!doctype html><script>alert(1)</script>",
    "text.png": b"hello, this is no image at all",
    "pdf.jpg": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
    "zip.jpg": b"PK\x03\x04" + bytes(100),
    "exr.jpg": b"\x76\x2f\x31\x01" + bytes(100),
    "pnm.jpg": b"P6 99999 99999 255\n" + bytes(100),
    "big.tif": b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0" + bytes(50),
    "nothing.jpg": b"\xff\xd8\xff\xd9",
    "zeros.jpg": bytes(1000),
    "heic.jpg": b"\0\0\0\x18ftypheic" + bytes(100),
}


@pytest.mark.parametrize(("name", "data"), IMPOSTORS.items(), ids=IMPOSTORS)
def test_what_is_no_image_is_refused_whatever_its_name(client, name, data):
    answer = client.post("/predict", files={"a": (name, data, "image/jpeg")})
    assert answer.status_code == 422
    assert name in answer.json()["error"]
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_heat_map_is_the_fall_of_the_score(client, predictor, photo):
    answer = client.post("/saliency?class_id=3&grid=4", files={"a": ("a.png", photo)}).json()
    heat = np.array(answer["heat"])
    assert heat.shape == (4, 4)
    assert (answer["class_id"], answer["label_name"]) == (3, "digit-3")
    seen = cv2.imdecode(np.frombuffer(base64.b64decode(answer["image"].partition(",")[2]), np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(seen, cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR))
    image = (seen[:, :, ::-1].transpose(2, 0, 1) / 255.0 - 0.5).astype(np.float32) / 0.5
    whole, *covered = predictor.run(np.stack([image, *(occlusion.occlude(image, 4, cell) for cell in range(16))]))
    assert answer["score"] == pytest.approx(whole[3], abs=2e-5)
    assert answer["overlay"].startswith("data:image/jpeg;base64,")
    drawn = cv2.imdecode(
        np.frombuffer(base64.b64decode(answer["overlay"].partition(",")[2]), np.uint8), cv2.IMREAD_COLOR
    )
    assert drawn.shape == (224, 224, 3)  # 16 pixels a side, enlarged
    np.testing.assert_allclose(heat.ravel(), whole[3] - np.array(covered)[:, 3], atol=2e-5)
    best = client.post("/saliency", files={"a": ("a.png", photo)}).json()
    assert best["class_id"] == int(whole.argmax())
    assert np.array(best["heat"]).shape == (7, 7)


def test_a_cell_and_half_of_its_neighbours_are_covered():
    image = np.arange(2 * 8 * 8, dtype=np.float32).reshape(2, 8, 8)
    changed = (occlusion.occlude(image, 4, 5) != image).any(axis=0)
    expected = np.zeros((8, 8), bool)
    expected[1:5, 1:5] = True
    np.testing.assert_array_equal(changed, expected)
    corner = (occlusion.occlude(image, 4, 15) != image).any(axis=0)
    assert corner[5:, 5:].all()
    assert corner.sum() == 9


@pytest.mark.parametrize(
    ("query", "files", "message"),
    [
        ("class_id=10", 1, "the model has the classes 0 to 9"),
        ("grid=15", 1, "grid 15: must be at most 14"),
        ("grid=2", 1, "grid 2: must be at least 3"),
        ("class_id=x", 1, "class_id 'x': must be a whole number"),
        ("", 2, "a heat map takes one image, not 2"),
    ],
)
def test_wrong_questions_for_heat_maps(client, photo, query, files, message):
    answer = client.post(f"/saliency?{query}", files=[("a", (f"{n}.png", photo)) for n in range(files)])
    assert answer.status_code == 422
    assert message in answer.json()["error"]


def test_the_model_and_its_state(client, photo):
    model = client.get("/model").json()
    assert model["class_names"] == [f"digit-{n}" for n in range(10)]
    assert (model["class_num"], model["image_shape"], model["topk"]) == (10, [3, 16, 16], 5)
    assert (model["backend"], model["device"], model["precision"]) == ("paddle", "cpu", "float32")
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/ready").json() == {"status": "ready"}
    before = metrics(client)
    client.post("/predict", files=[("a", ("a.png", photo)), ("a", ("b.png", b"no"))])
    after = metrics(client)
    name = 'ppcls_requests_total{code="200",path="/predict"}'
    assert after[name] == before.get(name, 0) + 1
    for result in ("ok", "error"):
        name = f'ppcls_images_total{{result="{result}"}}'
        assert after[name] == before.get(name, 0) + 1
    assert after["ppcls_batch_images_count"] == before["ppcls_batch_images_count"] + 1
    assert after["ppcls_requests_in_flight"] == after["ppcls_queue_images"] == after["ppcls_buffered_bytes"] == 0
    assert after["process_resident_memory_bytes"] > 1e7


def test_the_metrics_are_those_of_the_page(client, photo):
    client.post("/predict", files={"file": ("a.png", photo)})
    kinds = re.findall(r"^# TYPE (ppcls_\w+) (\w+)$", client.get("/metrics").text, re.MULTILINE)
    names = {name + "_bucket" * (kind == "histogram") for name, kind in kinds}
    assert names == set(re.findall(r"`(ppcls_\w+)`", (ROOT / "docs" / "serving.md").read_text()))


def metrics(client):
    lines = [line for line in client.get("/metrics").text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_the_description_of_the_api_is_complete(client):
    described = client.get("/openapi.json").json()
    assert set(described["paths"]) == {"/health", "/ready", "/metrics", "/model", "/examples", "/predict", "/saliency"}
    assert next(iter(described["paths"])) == "/predict"  # what people look for
    predict = described["paths"]["/predict"]["post"]
    assert set(predict["requestBody"]["content"]) >= {"multipart/form-data", "application/json", "image/*"}
    assert {"200", "401", "408", "413", "415", "422", "429", "500", "503"} <= set(predict["responses"])
    assert described["openapi"].startswith("3.1")
    assert '"nullable"' not in json.dumps(described)  # which 3.1 does not know
    assert "security" not in predict


def test_the_description_of_a_server_with_a_key_says_so(start):
    with start("--api-key", "correct-horse") as guarded:
        paths = httpx.get(f"{guarded.url}/openapi.json").json()["paths"]
        for path, methods in paths.items():
            (route,) = methods.values()
            kept = path not in ("/health", "/ready")
            assert ("401" in route["responses"]) == kept, path
            assert bool(route.get("security")) == kept, path
            assert httpx.request(next(iter(methods)), f"{guarded.url}{path}").status_code == (401 if kept else 200)


def test_the_answers_are_those_that_the_description_promises(client, photo):
    """What is not in a model would be dropped by it, so the comparison finds it."""
    files = [("x", ("good.png", photo)), ("x", ("broken.png", b"no"))]
    for model, answer in (
        (schemas.Prediction, client.post("/predict", files=files)),
        (schemas.HeatMap, client.post("/saliency?grid=3", files=files[:1])),
        (schemas.NoUsableImage, client.post("/predict", files=files[1:])),
        (schemas.ModelInfo, client.get("/model")),
        (schemas.Examples, client.get("/examples")),
        (schemas.Status, client.get("/health")),
        (schemas.Status, client.get("/ready")),
        (schemas.Error, client.post("/predict?topk=0", files=files)),
        (schemas.Error, client.post("/predict", content=b"{", headers={"Content-Type": "application/json"})),
    ):
        assert model.model_validate(answer.json(), strict=True).model_dump() == answer.json()
    described = client.get("/openapi.json").json()
    shown = described["paths"]["/predict"]["post"]["responses"]["200"]["content"]["application/json"]["example"]
    assert schemas.Prediction.model_validate(shown, strict=True).model_dump() == shown
    names = {"Prediction", "HeatMap", "NoUsableImage", "ModelInfo", "Status", "Error", "ServerError"}
    assert names <= set(described["components"]["schemas"])
    for path, model in (("/predict", "Prediction"), ("/saliency", "HeatMap")):
        responses = described["paths"][path]["post"]["responses"]
        schema = {status: answer["content"]["application/json"]["schema"] for status, answer in responses.items()}
        assert schema["200"] == {"$ref": f"#/components/schemas/{model}"}
        assert schema["500"] == {"$ref": "#/components/schemas/ServerError"}
        assert schema["413"] == {"$ref": "#/components/schemas/Error"}
    grid = described["paths"]["/saliency"]["post"]["parameters"][1]
    assert (grid["name"], grid["schema"]["minimum"], grid["schema"]["maximum"]) == ("grid", 3, 14)


def test_pages_and_errors_are_safe_to_show(client):
    page = client.get("/")
    head = client.head("/")  # what checks of uptime send
    assert (head.status_code, head.headers["content-length"]) == (200, page.headers["content-length"])
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert client.get("/<script>").json()["error"].startswith("GET /<script>: Not Found")
    assert client.get("/<script>").headers["content-type"] == "application/json"
    assert client.get("/predict").status_code == 405
    assert client.post("/predict/", headers={"Host": "evil.example"}).status_code == 404
    assert "access-control-allow-origin" not in client.get("/health", headers={"Origin": "https://a.example"}).headers
