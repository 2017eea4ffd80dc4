"""A server for the tests that leave it as it was, clients of it and a browser."""

import httpx
import pytest


@pytest.fixture(scope="session", autouse=True)
def _extra():
    for name in ("fastapi", "uvicorn", "python_multipart", "prometheus_client"):
        pytest.importorskip(name, reason='needs pip install ".[serve]"')


@pytest.fixture(scope="session")
def server(start):
    """Return a server with the default settings, for tests that leave it as it was."""
    with start() as running:
        yield running


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
