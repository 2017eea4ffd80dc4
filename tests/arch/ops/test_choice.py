"""``PPCLS_CPU_OPS``, and libraries that are not there or not known."""

import shutil
import subprocess

import pytest

from ppcls.arch.ops import dispatch, onednn
from ppcls.errors import ConfigError
from tests.helpers.runs import digests


@pytest.fixture
def fresh():
    """Decide anew during the test, and again after it."""
    functions = (dispatch.available, onednn.load)
    loaded = onednn.load()
    for function in functions:
        function.cache_clear()
    yield loaded
    for function in functions:
        function.cache_clear()


@pytest.fixture
def installed(fresh, tmp_path, monkeypatch):
    """Return the folder in which Paddle's libraries are looked for."""
    monkeypatch.setattr(onednn.paddle, "__file__", str(tmp_path / "paddle" / "__init__.py"))
    folder = tmp_path / "paddle" / "libs"
    folder.mkdir(parents=True)
    return folder


def test_values(fresh, monkeypatch):
    monkeypatch.setenv(dispatch.CHOICE, "onednn")
    assert dispatch.available()
    assert dispatch.describe() == f"CPU operators: oneDNN {fresh.version} (set by the user with PPCLS_CPU_OPS)"
    dispatch.available.cache_clear()
    monkeypatch.setenv(dispatch.CHOICE, "plain")
    assert not dispatch.available()
    assert dispatch.describe() == "CPU operators: Paddle's own (set by the user with PPCLS_CPU_OPS)"
    dispatch.available.cache_clear()
    monkeypatch.setenv(dispatch.CHOICE, "")
    assert dispatch.available()
    assert dispatch.describe().endswith("(chosen here, override with PPCLS_CPU_OPS)")


def test_the_log_and_wrong_values(recipe, run):
    first = run("train", "-c", recipe, "-o", "Global.epochs=1", environment={"PPCLS_CPU_OPS": "plain"})
    assert "CPU operators: Paddle's own (set by the user with PPCLS_CPU_OPS)" in first.stderr
    plain = digests(recipe.parent / "out")
    second = run("train", "-c", recipe, "-o", "Global.epochs=1", environment={"PPCLS_CPU_OPS": "auto"})
    assert f"CPU operators: oneDNN {onednn.load().version} (chosen here, override with PPCLS_CPU_OPS)" in second.stderr
    assert digests(recipe.parent / "out") != plain
    refused = run("train", "-c", recipe, code=2, environment={"PPCLS_CPU_OPS": "plian"})
    assert "PPCLS_CPU_OPS=plian: must be one of auto, onednn, plain; did you mean 'plain'?" in refused.stderr
    assert "Traceback" not in refused.stderr


def assert_plain(monkeypatch, reason):
    assert not dispatch.available()
    assert dispatch.describe() == f"CPU operators: Paddle's own ({reason})"
    dispatch.available.cache_clear()
    monkeypatch.setenv(dispatch.CHOICE, "onednn")
    with pytest.raises(ConfigError) as error:
        dispatch.available()
    assert str(error.value) == (f"PPCLS_CPU_OPS=onednn: {reason}; leave PPCLS_CPU_OPS unset to use Paddle's operators")


def test_no_library(installed, monkeypatch):
    assert_plain(monkeypatch, "this build of Paddle contains no oneDNN")


def test_a_file_that_is_no_library(installed, monkeypatch):
    path = installed / "libdnnl.so.3"
    path.write_text("not a library")
    assert not dispatch.available()
    text = dispatch.describe()
    assert text.startswith(f"CPU operators: Paddle's own (oneDNN cannot be loaded: {path}: ")
    assert_plain(monkeypatch, text[len("CPU operators: Paddle's own (") : -1])


STUB = """
struct version { int major, minor, patch; };
static const struct version known = {4, 1, 2};
const struct version *dnnl_version(void) { return &known; }
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="compiles a library")
def test_an_unknown_version(installed, monkeypatch, tmp_path):
    source = tmp_path / "stub.c"
    source.write_text(STUB)
    command = ["cc", "-shared", "-fPIC", "-o", str(installed / "libdnnl.so.4"), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    assert_plain(monkeypatch, "oneDNN 4.1.2 is not known here, only 3.x")


@pytest.mark.skipif(shutil.which("cc") is None, reason="compiles a library")
def test_a_library_without_a_version(installed, monkeypatch, tmp_path):
    source = tmp_path / "stub.c"
    source.write_text("int nothing(void) { return 0; }\n")
    library = installed / "libdnnl.so.3"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True, capture_output=True)
    assert_plain(monkeypatch, f"oneDNN cannot be loaded: {library}: undefined symbol: dnnl_version")
