"""For random data, training, both evaluations and both predictors agree on every picture's class name."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.properties import trained
from tests.properties.worlds import worlds

FEW = settings(
    max_examples=2,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def sideways(world):
    return world.size[0] != world.size[1]


@FEW
@given(worlds().filter(sideways))
def test_another_image_size(world):
    trained.check_swapped_size(world)


@pytest.mark.parametrize("name", ["names_in_another_order", "relabelled", "missing_class"])
def test_all_agree(name):
    """The others of ``trained.AFTER_TRAINING`` are tried by benchmarks/random_worlds.py."""
    mutation = trained.EVERY_MUTATION[name]

    @settings(FEW, max_examples=1)
    @given(worlds(mutation.layouts, mutation.evaluation))
    def check(world):
        assert trained.check_world_with_training(world, name)[0] is not None

    check()
