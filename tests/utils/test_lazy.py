"""Public names are imported when they are first used."""

import json
import sys

import pytest

from ppcls.utils.lazy import lazy_exports
from tests.helpers.command_line import run_python


def test_names_come_from_their_modules():
    get, names = lazy_exports("package", {"sha256": "ppcls.utils.digests", "replacing": "ppcls.utils.atomic"})
    assert get("sha256") is sys.modules["ppcls.utils.digests"].sha256
    assert names() == ["replacing", "sha256"]
    with pytest.raises(AttributeError, match=r"^module 'package' has no attribute 'md5'$"):
        get("md5")


def test_a_module_is_loaded_with_its_first_name():
    code = """
import json, sys
import ppcls.config
before = "ppcls.config.schema" in sys.modules
ppcls.config.Config
print(json.dumps([before, "ppcls.config.schema" in sys.modules]))
"""
    assert json.loads(run_python(code).stdout) == [False, True]
