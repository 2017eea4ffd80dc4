"""``ppcls benchmark``: how fast an architecture is trained and evaluated."""

import re

import pytest

SIZES = ("--image-size", "8", "--batch-size", "2", "--seconds", "0.1", "--device", "cpu")
SMALL = ("benchmark", "ConvMixer_256_8", *SIZES)


def test_both_modes_are_measured(run):
    done = run(*SMALL)
    assert "ConvMixer_256_8: batches of 2, 8 x 8 pixels, float32" in done.stdout
    assert "CPU operators: " in done.stdout
    rows = {line.split()[0]: line.split() for line in done.stdout.splitlines()[-2:]}
    assert list(rows) == ["infer", "train"]
    for _, rate, milliseconds, spread, steps, memory, unit in rows.values():
        assert float(rate) * float(milliseconds) == pytest.approx(2 * 1000, rel=0.01)
        assert spread.endswith("%")
        assert int(steps) >= 3
        assert float(memory) >= 0
        assert unit == "MiB"
    assert float(rows["train"][2]) > float(rows["infer"][2])


def test_one_mode_in_mixed_precision(run):
    from ppcls.arch import ops
    from ppcls.utils import environment

    possible = ops.available() and environment.has_bfloat16()
    done = run(*SMALL, "--amp", "--mode", "infer", code=0 if possible else 2)
    if possible:
        assert "mixed precision" in done.stdout
        assert not re.search(r"^ *train", done.stdout, re.MULTILINE)
    else:
        assert "error: AMP has no effect: " in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ConvMixer_256_9"], "unknown architecture 'ConvMixer_256_9'; did you mean 'ConvMixer_256_8'?"),
        (["ConvMixer_256_8", "--batch-size", "0"], "'0' is not a whole number above 0"),
        (["ConvMixer_256_8", "--image-size", "32", "32", "3"], "--image-size: give one side, or height and width"),
        (["ConvMixer_1024_20", "--image-size", "8"], "ConvMixer_1024_20 does not take images of 8 x 8 pixels"),
        (["ConvMixer_256_8", "--seconds", "0"], "'0' is not a number of seconds above 0"),
        (["ConvMixer_256_8", "--threads", "9999"], "--threads 9999: at most 1024"),
        (["ConvMixer_256_8", "--device", "nothing"], "Global.device=nothing: not usable here"),
    ],
)
def test_errors(run, arguments, message):
    assert message in run("benchmark", *arguments, code=2).stderr
