"""Random data sets, and what may happen to them: is every picture's class known by its name, or are the data refused?

    python benchmarks/random_worlds.py --worlds 2000 --training 200

``--worlds`` are data alone: loaders, ``check-data`` and ``split-data``. ``--training`` are trained on and exported;
training, both evaluations and both predictors must agree on each picture's class name, before and after the evaluation
data change. Both numbers are spread over the mutations. Prints JSON: the number of worlds, by mutation what came of
them ("same" or "error"), and of each mutation that failed the smallest example. The exit code is 1 if any failed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Callable, Dict

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from ppcls.utils import environment  # noqa: E402

environment.prepare()
environment.import_paddle()

from hypothesis import HealthCheck, Phase, assume, given, seed, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from tests.properties import outcomes, trained  # noqa: E402
from tests.properties.mutations import MUTATIONS  # noqa: E402
from tests.properties.worlds import worlds  # noqa: E402

_SWAPPED = "another_image_size"


def try_worlds(strategy: Any, check: Callable[[Any], Any], count: int, number: int) -> Dict[str, Any]:
    """Check random worlds until one fails; return what came of them.

    Args:
        check: raises for a world that fails; returns what came of it, None where its mutation changes nothing.
        count: number of worlds.
        number: seed of the choice.
    """
    found: Counter[str] = Counter()

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(world: Any) -> None:
        outcome = check(world)
        assume(outcome is not None)
        found[str(outcome)] += 1

    try:
        run()
    except Exception as error:  # noqa: BLE001  whatever it is, it is what is looked for
        notes = getattr(error, "__notes__", [])
        return {**found, "failure": f"{type(error).__name__}: {error}", "smallest": "\n".join(notes)}
    return dict(found)


def share(total: int, parts: int) -> int:
    """Return how many of a total go to each of some parts."""
    return -(-total // parts)


def main() -> int:
    """Try, print and, if asked, write; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=100, metavar="N", help="worlds of data alone (default: 100)")
    parser.add_argument("--training", type=int, default=10, metavar="N", help="worlds with training (default: 10)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the JSON there, too")
    options = parser.parse_args()
    result: Dict[str, Any] = {"data": {}, "training": {}}
    for name, mutation in MUTATIONS.items() if options.worlds else ():
        result["data"][name] = try_worlds(
            worlds(mutation.layouts, mutation.evaluation),
            lambda world, name=name: outcomes.check_world_of_data(world, name),
            share(options.worlds, len(MUTATIONS)),
            options.seed,
        )
        print("data", name, json.dumps(result["data"][name], ensure_ascii=False), file=sys.stderr, flush=True)
    names = (*trained.AFTER_TRAINING, _SWAPPED) if options.training else ()
    accuracies = []

    def train(value: Any, name: str) -> Any:
        world, arch = value
        outcome, accuracy = trained.check_world_with_training(world, name, arch)
        accuracies.append(accuracy)
        return outcome

    for name in names:
        if name == _SWAPPED:
            strategy = worlds().filter(lambda world: world.size[0] != world.size[1])
            check: Callable[[Any], Any] = trained.check_swapped_size
        else:
            mutation = trained.EVERY_MUTATION[name]
            drawn = worlds(mutation.layouts, mutation.evaluation)
            strategy = st.tuples(drawn, st.sampled_from(["ConvMixer", "gMLP"]))
            check = lambda value, name=name: train(value, name)  # noqa: E731
        result["training"][name] = try_worlds(strategy, check, share(options.training, len(names)), options.seed)
        print("training", name, json.dumps(result["training"][name], ensure_ascii=False), file=sys.stderr, flush=True)
    for kind in ("data", "training"):
        result[f"worlds_{kind}"] = sum(
            value for found in result[kind].values() for value in found.values() if isinstance(value, int)
        )
    result["all_right_before_the_mutation"] = sum(accuracy == 1 for accuracy in accuracies)
    result["failures"] = [
        f"{kind}: {name}" for kind in ("data", "training") for name, found in result[kind].items() if "failure" in found
    ]
    text = json.dumps(result, ensure_ascii=False, indent=1)
    print(text)
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n", encoding="utf-8")
    return 1 if result["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
