"""A server for the tests that leave it as it was, clients of it and a browser."""

import httpx
import pytest

from tests.helpers.command_line import run_ppcls


@pytest.fixture(scope="session", autouse=True)
def _extra():
    for name in ("fastapi", "uvicorn", "python_multipart", "prometheus_client"):
        pytest.importorskip(name, reason='needs pip install ".[serve]"')


@pytest.fixture(scope="session")
def server(start):
    """Return a server with the default settings, for tests that leave it as it was."""
    with start() as running:
        yield running


@pytest.fixture(scope="session")
def with_examples(exported, digits):
    """Return the folder of an export of the same model with four examples."""
    folder = exported.with_name("with_examples")
    weights, target = f"Global.pretrained_model={exported.parent}/out/latest", f"Global.save_inference_dir={folder}"
    names = f"Infer.PostProcess.class_id_map_file={digits}/labels.txt"
    recipe = ("-c", exported.parent / "recipe.yaml")
    run_ppcls("export", *recipe, "--examples", "4", "-o", weights, target, names, cwd=exported.parent)
    return folder


@pytest.fixture
def client(server):
    """Return an HTTP client of ``server``."""
    with httpx.Client(base_url=server.url, timeout=30) as opened:
        yield opened


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Return one browser for all tests of a file, and the folder of its downloads."""
    from tests.serving.page import browsing  # needs selenium

    downloads = tmp_path_factory.mktemp("downloads")
    with browsing(downloads) as browser:
        yield browser, downloads
