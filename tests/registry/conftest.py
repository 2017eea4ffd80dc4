"""Fixtures of the tests of registries."""

import logging

import pytest

from ppcls.utils.logging import get_logger


@pytest.fixture
def log():
    """Return a function that returns what was logged, one message per line."""
    messages = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    get_logger().addHandler(handler)
    yield lambda: "\n".join(messages)
    get_logger().removeHandler(handler)
