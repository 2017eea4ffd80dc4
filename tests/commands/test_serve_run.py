"""``ppcls serve RUN``: the export that it makes."""

import shutil

import httpx
import pytest
import yaml

from tests.helpers.runs import flip_bit, train

for _name in ("fastapi", "uvicorn", "python_multipart", "prometheus_client"):
    pytest.importorskip(_name, reason='needs pip install ".[serve]"')


@pytest.fixture
def folder(trained, tmp_path):
    """Return a copy of a run's folder without an export."""
    return shutil.copytree(trained / "out", tmp_path / "run", ignore=shutil.ignore_patterns("inference"))


def test_a_run_is_exported_once_and_again_when_its_weights_are_others(folder, recipe, start, run, photo):
    with start(model=folder) as running:
        answer = httpx.post(f"{running.url}/predict", files={"a": ("a.png", photo)}).json()["results"][0]
        assert len(answer["scores"]) == 5
        assert "it has not been exported" in running.log()
    run("export", folder, "--examples", "3")
    written = (folder / "inference" / "inference.yml").stat().st_mtime_ns
    with start(model=folder / "best_model") as running:
        assert "serving" in running.log() and "exporting" not in running.log()
    assert (folder / "inference" / "inference.yml").stat().st_mtime_ns == written
    train(recipe, "Global.epochs=1")
    for path in (recipe.parent / "out").glob("latest.*"):
        shutil.copy(path, folder / f"best_model{path.suffix}")
    with start(model=folder) as running:
        assert "the export there was made from other weights" in running.log()
        assert len(yaml.safe_load((folder / "inference" / "inference.yml").read_text())["Examples"]) == 3
        other = httpx.post(f"{running.url}/predict", files={"a": ("a.png", photo)}).json()["results"][0]
        assert other["scores"] != answer["scores"]


def test_an_export_that_serve_cannot_repeat_is_not_replaced(folder, run):
    run("export", folder)
    described = folder / "inference" / "inference.yml"
    values = yaml.safe_load(described.read_text())
    values["Model"]["files"]["inference_int8.onnx"] = "0" * 64
    values["Model"]["weights_sha256"] = "0" * 64
    described.write_text(yaml.safe_dump(values))
    before = described.read_text()
    done = run("serve", folder, "--port", "0", code=2)
    assert f"export it again: ppcls export {folder} --int8; or serve it as it is: ppcls serve {folder}" in done.stderr
    assert described.read_text() == before


def test_damaged_weights_are_not_served(folder, run):
    flip_bit(folder / "best_model.pdparams")
    done = run("serve", folder, "--port", "0", code=2)
    assert "damaged" in done.stderr and "Traceback" not in done.stderr
    assert not (folder / "inference").exists()


def test_interrupted_while_it_exports(folder, run, monkeypatch):
    import os
    import signal

    from ppcls.exporting import exporter

    monkeypatch.setattr(exporter, "compare", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    done = run("serve", folder, "--port", "0", code=130)
    assert done.stderr.endswith("stopped\n")
    assert not list(folder.glob("*inference*")) and not list(folder.glob(".*inference*"))
