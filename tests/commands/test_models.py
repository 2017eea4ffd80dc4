"""``ppcls models``."""

import json


def test_models_lists_what_is_known(run):
    rows = json.loads(run("models", "--json").stdout)
    by_name = {row["name"]: row for row in rows}
    assert len(rows) == 15
    assert by_name["CycleMLP_B1"]["params"] == 15_155_400
    assert by_name["gMLP_S16"]["public_weights"]
    assert not by_name["gMLP_B16"]["public_weights"]
    text = run("models", "*mixer*").stdout
    assert "ConvMixer_768_32" in text
    assert "ConvMLP" not in text
    assert "no architecture matches" in run("models", "ResNet*", code=2).stderr
