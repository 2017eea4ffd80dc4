"""What tests import is forgotten after each of them."""

import pytest

from tests.helpers.command_line import forgotten_imports


@pytest.fixture(autouse=True)
def forget_imports():
    """Let the next test register the same names."""
    with forgotten_imports():
        yield
