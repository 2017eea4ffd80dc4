"""``ppcls summary``."""

import pytest


@pytest.mark.parametrize(("name", "size"), [("gMLP_Ti16", ["64", "96"]), ("ConvMLP_S", ["64"])])
def test_summary_adds_up(name, size, run):
    text = run("summary", name, "--image-size", *size).stdout
    assert f"input: [3, 64, {size[-1]}]" in text
    headless = run("summary", name, "--image-size", *size, "--class-num", "0").stdout
    assert "head" not in headless
    assert "unknown architecture 'gMLP_Ti'; did you mean 'gMLP_Ti16'?" in run("summary", "gMLP_Ti", code=2).stderr
