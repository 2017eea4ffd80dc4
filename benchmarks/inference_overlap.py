"""Images a second from files to answers, beside decoding alone and the model alone.

    python benchmarks/inference_overlap.py MODEL FOLDER [--backend openvino] [--threads 1 --workers 1]

All three use the same threads. The images of the folder are read again and again until there are ``--images``.
Prints one JSON object: "decoding", "model" and "both" in images a second, the medians of the rounds by turns, and
"share", both as a share of the slower of the two. Where the threads of both are more than the cores, they share these:
not even a perfect overlap reaches 1 then.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def measure(options: argparse.Namespace) -> Dict[str, Any]:
    """Return the rates."""
    import numpy as np

    from ppcls import Predictor
    from ppcls.inference.decoding import preprocess_ahead
    from ppcls.inference.inputs import collect

    predictor = Predictor(
        options.model,
        options.backend,
        options.threads,
        options.batch_size,
        decode_workers=options.workers,
        precision=options.precision,
    )
    sources = list(itertools.islice(itertools.cycle(collect(options.folder)), options.images))
    batch = np.stack([predictor.prepare(source) for source in sources[: options.batch_size]])

    def decode() -> None:
        pipeline = predictor.pipeline
        for _ in preprocess_ahead(sources, pipeline.prepare, options.workers, 2 * options.batch_size):
            pass

    def run() -> None:
        for _ in range(options.images // options.batch_size):
            predictor.run(batch)

    def both() -> None:
        for answer in predictor.stream(sources):
            assert "error" not in answer, answer

    work: Dict[str, Callable[[], None]] = {"decoding": decode, "model": run, "both": both}
    rates: Dict[str, List[float]] = {name: [] for name in work}
    for _ in range(options.rounds):
        for name, function in work.items():
            started = time.perf_counter()
            function()
            rates[name].append(options.images / (time.perf_counter() - started))
    medians = {name: round(statistics.median(found), 1) for name, found in rates.items()}
    share = medians["both"] / min(medians["decoding"], medians["model"])
    return {
        "name": predictor.description.name,
        "backend": predictor.backend_label,
        "threads": options.threads,
        "workers": options.workers,
        "batch_size": options.batch_size,
        **medians,
        "share": round(share, 3),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", help="an exported model")
    parser.add_argument("folder", help="images")
    parser.add_argument("--backend", default="openvino")
    parser.add_argument("--precision")
    parser.add_argument("--threads", type=int, default=2, help="of the model")
    parser.add_argument("--workers", type=int, default=2, help="threads that decode")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--images", type=int, default=256, help="a multiple of the batch size")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    print(json.dumps(measure(options)), flush=True)


if __name__ == "__main__":
    main()
