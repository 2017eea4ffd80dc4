"""docs/python.md lists the whole public API."""

import pytest

import ppcls
from tests.helpers.recipes import ROOT

PAGE = (ROOT / "docs" / "python.md").read_text()


@pytest.mark.parametrize("name", ppcls.__all__)
def test_every_public_name_is_there_and_documented(name):
    assert getattr(ppcls, name) is not None
    assert f"`{name}`" in PAGE.split("## All names")[1]
