"""Fixtures of other parts that commands are tested with."""

from tests.serving.conftest import exported, photo, start  # noqa: F401
