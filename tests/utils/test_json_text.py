"""JSON without NaN and infinity."""

import json
import math
import re

from ppcls.utils import json_text
from tests.helpers.recipes import ROOT

# Texts that nobody reads as a file or an answer, and a check whose result is not kept.
_OTHERS = {
    "ppcls/commands/info.py": 1,  # of a process that is started
    "ppcls/config/json_schema.py": 1,
    "ppcls/engine/callbacks/runner.py": 1,
    "ppcls/engine/checkpointing/file_set.py": 1,  # for a digest
    "ppcls/metric/base.py": 1,
    "ppcls/serving/json_body.py": 1,
    "ppcls/tuning/grid.py": 1,  # for a digest
    "ppcls/utils/json_text.py": 1,
}


def test_what_is_not_finite_is_null():
    value = {"a": math.nan, "b": [1.5, -math.inf, (math.inf, "NaN")], "c": {"d": None, "e": True}}
    assert json_text.dumps(value) == '{"a": null, "b": [1.5, null, [null, "NaN"]], "c": {"d": null, "e": true}}'
    assert json.loads(json_text.dumps({"é": 1}, ensure_ascii=False, indent=1)) == {"é": 1}


def test_all_json_is_written_by_it():
    found = {}
    for path in (ROOT / "ppcls").rglob("*.py"):
        count = len(re.findall(r"\bjson\.dumps?\(", path.read_text(encoding="utf-8")))
        if count:
            found[path.relative_to(ROOT).as_posix()] = count
    assert found == _OTHERS
