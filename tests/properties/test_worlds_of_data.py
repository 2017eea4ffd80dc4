"""For random data, every picture has its own class on both sides, or the data are refused."""

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings

from tests.properties import outcomes
from tests.properties.mutations import MUTATIONS
from tests.properties.worlds import worlds

# The same few worlds in each run; benchmarks/random_worlds.py tries thousands of others.
FEW = settings(
    max_examples=2,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("name", MUTATIONS)
def test_every_picture_has_its_class(name):
    mutation = MUTATIONS[name]
    results = []

    @FEW
    @given(worlds(mutation.layouts, mutation.evaluation))
    def check(world):
        outcome = outcomes.check_world_of_data(world, name)
        results.append(outcome)
        assume(outcome is not None)

    check()
    assert any(results)
