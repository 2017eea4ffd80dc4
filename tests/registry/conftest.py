"""What tests import is forgotten after each of them."""

import logging

import pytest

from ppcls.utils.logging import get_logger
from tests.helpers.command_line import forgotten_imports


@pytest.fixture(autouse=True)
def forget_imports():
    """Let the next test register the same names."""
    with forgotten_imports():
        yield


@pytest.fixture
def log():
    """Return a function that returns what was logged, one message per line."""
    messages = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    get_logger().addHandler(handler)
    yield lambda: "\n".join(messages)
    get_logger().removeHandler(handler)
