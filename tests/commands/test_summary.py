"""``ppcls summary``."""


def test_summary_adds_up(run):
    text = run("summary", "gMLP_Ti16", "--image-size", "64", "96").stdout
    assert "input: [3, 64, 96]" in text
    text = run("summary", "ConvMixer_256_8", "--image-size", "64").stdout
    assert "input: [3, 64, 64]" in text
    assert "head" in text
    headless = run("summary", "ConvMixer_256_8", "--image-size", "64", "--class-num", "0").stdout
    assert "head" not in headless
    assert "unknown architecture 'gMLP_Ti'; did you mean 'gMLP_Ti16'?" in run("summary", "gMLP_Ti", code=2).stderr
