"""A process that measures one contestant, by turns with others: it stays, and measures whenever it is told to.

    python -m benchmarks.suite.worker '{"kind": "torch", "model": "ConvMixer_256_8", ...}'

It builds the step, does it once or twice, and prints a JSON object about itself. For each number of seconds on a line
of standard input it prints a JSON object: the seconds of each step, and the memory at its peak so far, in MiB above
what was in use before the model was built. It runs under any interpreter: what is not of the standard library is
imported by the contestant.
"""

import contextlib
import importlib
import json
import sys
import time
from typing import Any, Callable, Dict, List, Tuple

from ppcls.utils import memory

LONG = 4.0  # seconds: a second step of this length would not tell more
Step = Callable[[], Any]
# By kind: a module whose ``prepare`` imports the library, and whose ``build`` returns the step and facts about it.
MODULES = {
    "ppcls": "ppcls_steps",
    "operator": "operator_steps",
    "matmul": "matmul_steps",
    "torch": "torch_steps",
    "torch operator": "torch_operator_steps",
}


def time_steps(step: Step, seconds: float) -> List[float]:
    """Return the seconds of each of as many steps as fit into ``seconds``."""
    times: List[float] = []
    started = time.perf_counter()
    while not times or time.perf_counter() - started < seconds:
        begun = time.perf_counter()
        step()
        times.append(time.perf_counter() - begun)
    return times


def peak_mib(before: Any) -> Any:
    """Return by how much memory exceeded ``before`` at its peak, in MiB; None where the system does not tell."""
    peak = memory.peak_process_memory()
    return None if peak is None or before is None else round((peak - before) / 2**20)


def main() -> int:
    """Build, and measure until standard input ends; return the exit code."""
    given: Dict[str, Any] = json.loads(sys.argv[1])
    module = importlib.import_module(f"benchmarks.suite.{MODULES[given['kind']]}")
    with contextlib.redirect_stdout(sys.stderr):  # other people's code may print
        module.prepare(given)
        before = memory.process_memory()
        built: Tuple[Step, Dict[str, Any]] = module.build(given)
        step, facts = built
        if time_steps(step, 0)[0] < LONG:  # the first step chooses kernels and allocates memory
            step()
    print(json.dumps(facts), flush=True)
    for line in sys.stdin:
        times = time_steps(step, float(line))
        print(json.dumps({"seconds": times, "peak_mib": peak_mib(before)}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
