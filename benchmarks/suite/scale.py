"""The suite "scale": how cost grows with the batch, the image size, the depth, threads, processes and data workers."""

from __future__ import annotations

import argparse
import math
import statistics
from typing import Any, Dict, List, Tuple

from benchmarks.suite import data, recipes
from benchmarks.suite.processes import Contestant, measure_by_turns
from benchmarks.suite.results import Table, draw_lines, write
from benchmarks.suite.speed import seconds

_BATCH = 64  # of recipes, in all processes together
Points = Dict[float, float]


def run(options: argparse.Namespace) -> None:
    """Measure, print and write."""
    found = {what: _models(what, values, options) for what, values in _sweeps(options.quick).items()}
    jobs: Dict[str, Dict[str, List[float]]] = {}
    if not options.quick:
        jobs = {"recipe": recipes.rates_by_turns(_jobs(options.threads), options.rounds, _BATCH)}
        with data.made_up_or_given(options) as folder:
            workers = data.by_workers(data.photos(folder, 2000), options.seconds)
        found["data workers"] = {count: 1 / one["later_epoch"]["images_per_second"] for count, one in workers.items()}
    content: Dict[str, Any] = {"seconds": {what: list(map(list, points.items())) for what, points in found.items()}}
    write(options.output, "scale", "python benchmarks/run.py --suite scale", {**content, **jobs}, _tables(found, jobs))
    pictured = {what: points for what, points in found.items() if min(points) > 0}
    draw_lines(options.output / "scale.png", "How cost grows", pictured, "seconds a step")


def _sweeps(quick: bool) -> Dict[str, List[int]]:
    if quick:
        return {"batch size": [1, 2], "depth": [1, 2]}
    return {"batch size": [4, 8, 16, 32, 64], "image size": [16, 32, 64, 96], "depth": [2, 4, 8, 16]}


def _models(what: str, values: List[int], options: argparse.Namespace) -> Points:
    """Return the seconds of a training step of ConvMixer-256/8 by one of its numbers, the others left alone."""
    usual = {"batch size": 16, "image size": 32, "depth": 8}
    contestants = []
    for value in values:
        chosen = {**usual, what: value}
        arguments = {"dim": 256, "depth": chosen["depth"], "kernel_size": 5, "patch_size": 2}
        given = {"kind": "ppcls", "model": "ConvMixer", "mode": "train", "dtype": "float32", "arguments": arguments}
        given.update(batch=chosen["batch size"], size=chosen["image size"])
        contestants.append(Contestant(str(value), given))
    measured = measure_by_turns(contestants, options.rounds, options.seconds, options.threads)
    return {float(value): seconds(measured[str(value)]) for value in values}


def _jobs(threads: int) -> Dict[str, recipes.Job]:
    all_threads, one = {"OMP_NUM_THREADS": str(threads)}, {"OMP_NUM_THREADS": "1"}
    left_alone = {"MKL_DEBUG_CPU_TYPE": ""}
    return {
        "as chosen at start-up": recipes.Job(),
        "MKL's code path left alone": recipes.Job(environment=left_alone),
        "one process, one thread": recipes.Job(environment=one),
        f"one process, {threads} threads": recipes.Job(environment=all_threads),
        f"{threads} processes, one thread each": recipes.Job(threads, one),
    }


def slope(points: Points) -> float:
    """Return the slope of the least-squares line through the logarithms: cost grows as the number to this power."""
    logs: List[Tuple[float, float]] = [(math.log(x), math.log(y)) for x, y in points.items() if x > 0]
    mean_x = statistics.fmean(x for x, _ in logs)
    mean_y = statistics.fmean(y for _, y in logs)
    products = sum((x - mean_x) * (y - mean_y) for x, y in logs)
    return products / sum((x - mean_x) ** 2 for x, _ in logs)


def _tables(found: Dict[str, Points], jobs: Dict[str, Dict[str, List[float]]]) -> List[Table]:
    rows = []
    for what, points in found.items():
        listed = ", ".join(f"{number:g}: {1000 * cost:.4g}" for number, cost in points.items())
        rows.append([what, listed, f"{slope(points):.2f}"])
    tables = [Table("Milliseconds (of a step, or of an image with data workers)", ["by", "measured", "slope"], rows)]
    for recipe, rates in jobs.items():
        lines = [
            [name, f"{statistics.median(found):.0f}", f"{min(found):.0f} to {max(found):.0f}"]
            for name, found in rates.items()
        ]
        tables.append(Table(f"Training by {recipe}, batches of {_BATCH}", ["job", "images/s", "range"], lines))
    return tables
