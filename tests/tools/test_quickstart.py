"""The quick start's commands and its last lines; the whole takes minutes."""

import importlib.util
import json
import shlex

import pytest

from ppcls.commands import COMMANDS
from tests.helpers.recipes import ROOT


@pytest.fixture
def quickstart():
    spec = importlib.util.spec_from_file_location("quickstart", ROOT / "tools" / "quickstart.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_its_commands_can_be_typed(quickstart):
    for _, command in quickstart.STEPS:
        program, name, *_ = shlex.split(command)
        assert (program == "ppcls" and name in COMMANDS) or (ROOT / name).is_file()


@pytest.mark.parametrize(("exported", "code"), [([7, 1], 0), ([1, 7], 1)])
def test_it_ends_with_twenty_lines_and_fails_if_the_export_answers_otherwise(quickstart, capsys, exported, code):
    answer = {"class_ids": [7, 1], "label_names": ["seven", "one"], "file_name": "handful/seven.png"}
    outputs = {
        "evaluate": json.dumps({"top1": 0.9945}),
        "predict": json.dumps([answer]),
        "predict with the exported model": json.dumps([{**answer, "class_ids": exported}]),
    }
    assert quickstart.summary(outputs, 100.0) == code
    text = capsys.readouterr().out
    assert len(text.strip().splitlines()) <= 20
    assert "99.45 %" in text and "1 of 1 right" in text
