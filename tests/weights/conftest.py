"""Fixtures of several tests of weights."""

from tests.weights.download_server import home, server  # noqa: F401
