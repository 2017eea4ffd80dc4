"""For random data, training, both evaluations and both predictors agree on every picture's class name."""

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.properties import trained
from tests.properties.worlds import worlds

FEW = settings(
    max_examples=3,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def sideways(world):
    return world.size[0] != world.size[1]


@settings(FEW, max_examples=2)
@given(worlds().filter(sideways))
def test_another_image_size(world):
    trained.check_swapped_size(world)


@FEW
@given(st.data())
def test_all_agree(data):
    name = data.draw(st.sampled_from(trained.AFTER_TRAINING))
    mutation = trained.EVERY_MUTATION[name]
    trained.check_world_with_training(data.draw(worlds(mutation.layouts, mutation.evaluation)), name)
