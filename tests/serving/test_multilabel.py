"""A server of a model whose images may have any number of classes."""

import httpx
import pytest

import ppcls
from ppcls.serving import schemas
from tests.helpers.command_line import run_ppcls
from tests.helpers.multilabel import NAMES, change, write_multilabel_recipe


@pytest.fixture(scope="module")
def folder(digits, tmp_path_factory):
    """Return the folder of an export whose thresholds let some images have no class."""
    made = tmp_path_factory.mktemp("served_multilabel")
    recipe = write_multilabel_recipe(digits, made)
    change(recipe, Infer__PostProcess={"name": "MultiLabelThreshOutput", "threshold": 0.8})
    run_ppcls("train", "-c", recipe, "-o", "Global.epochs=8", cwd=made)
    run_ppcls("export", "-c", recipe, "-o", "Global.pretrained_model=out/best_model", cwd=made)
    return made / "inference"


@pytest.fixture(scope="module")
def address(start, folder):
    with start(model=folder) as running:
        yield running.url


def test_answers_are_the_predictors(address, folder, digits):
    paths = sorted((digits / "val").iterdir())[:24]
    expected = ppcls.Predictor(str(folder)).predict([str(path) for path in paths])
    found = []
    with httpx.Client(base_url=address, timeout=30) as client:
        for start_ in range(0, len(paths), 8):
            files = [("x", (path.name, path.read_bytes())) for path in paths[start_ : start_ + 8]]
            answer = client.post("/predict", files=files).json()
            assert schemas.Prediction.model_validate(answer, strict=True).model_dump() == answer
            found += answer["results"]
    for got, wanted in zip(found, expected):
        assert (got["class_ids"], got["label_names"]) == (wanted["class_ids"], wanted["label_names"])
        assert got["scores"] == pytest.approx(wanted["scores"], abs=2e-5)
    counts = {len(result["class_ids"]) for result in found}
    assert 0 in counts and len(counts) > 1  # images without a class and with some


def test_what_the_server_says_of_the_model(address, digits):
    picture = (digits / "val" / "000.png").read_bytes()
    with httpx.Client(base_url=address, timeout=30) as client:
        info = client.get("/model").json()
        assert (info["topk"], info["multilabel"], info["class_names"]) == (None, True, NAMES)
        assert schemas.ModelInfo.model_validate(info, strict=True).model_dump() == info
        refused = client.post("/predict?topk=2", files={"a": ("a.png", picture)})
        assert (refused.status_code, refused.json()["error"]) == (
            422,
            "topk: this model answers the classes that its thresholds choose; leave topk out",
        )
        assert client.post("/saliency?grid=3", files={"a": ("a.png", picture)}).json()["label_name"] in NAMES


def test_the_servers_topk_is_for_other_models(folder, run):
    stderr = run("serve", folder, "--topk", "2", code=2).stderr
    assert "topk: how many classes are in an answer of MultiLabelThreshOutput depends on thresholds" in stderr


def test_the_schema_has_the_words_of_attribute_models():
    answer = {"file_name": "a", "class_ids": [1], "scores": [0.9], "label_names": ["x"], "attributes": ["Hat: True"]}
    whole = {"results": [answer], "model": "m", "milliseconds": {}}
    assert schemas.Prediction.model_validate(whole, strict=True).model_dump() == whole


def test_the_page_shows_all_classes_and_says_when_there_is_none(address, folder, digits, opened):
    from tests.serving.page import CHROMIUM, all_of, choose, text, until

    if not CHROMIUM:
        pytest.skip("needs chromium")
    driver, downloads = opened
    paths = sorted((digits / "val").iterdir())[:12]
    expected = ppcls.Predictor(str(folder)).predict([str(path) for path in paths])
    driver.get(address)
    until(driver, lambda: text(driver, "#model") == "ConvMixer, 3 classes")
    choose(driver, paths)
    until(driver, lambda: text(driver, "#status") == "12 of 12 done")
    shown = [
        [label.text for label in result.find_elements("css selector", ".classes .label, .classes .none")]
        for result in all_of(driver, ".result")
    ]
    assert shown == [answer["label_names"] or ["no class is above its threshold"] for answer in expected]
    assert ["no class is above its threshold"] in shown
    driver.find_element("id", "download").click()
    until(driver, (downloads / "predictions.csv").is_file)
    lines = (downloads / "predictions.csv").read_text(encoding="utf-8-sig").splitlines()
    assert len(lines) == 1 + sum(max(1, len(answer["class_ids"])) for answer in expected)

    empty = next(index for index, answer in enumerate(expected) if not answer["class_ids"])
    driver.find_element("id", "clear").click()
    choose(driver, [paths[empty]])
    until(driver, lambda: text(driver, "#status").endswith(": no class is above its threshold"))
    driver.find_element("css selector", ".explain").click()  # the likeliest class
    until(driver, lambda: all_of(driver, ".heat"))
    assert not driver.get_log("browser")
