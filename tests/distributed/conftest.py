"""Jobs of two processes, on a tiny model without batch norm."""

import pytest

from tests.distributed.jobs import Job, Pair, write_uneven


@pytest.fixture
def job(tmp_path):
    """Return a function that starts a job by the launcher; what is left of it is ended."""
    yield from _starter(Job, tmp_path)


@pytest.fixture
def pair(tmp_path):
    """Return a function that starts two processes without the launcher; what is left of them is ended."""
    yield from _starter(Pair, tmp_path)


def _starter(kind, folder):
    jobs = []

    def start(*arguments, **options):
        jobs.append(kind(folder, *arguments, **options))
        return jobs[-1]

    yield start
    for started in jobs:
        started.end()


@pytest.fixture
def recipe(digits, tmp_path):
    """Return a recipe whose last batch of 16 has one image: a process has an empty part of it."""
    return write_uneven(digits, tmp_path)
