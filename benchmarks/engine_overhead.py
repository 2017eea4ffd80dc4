"""What a training step of the engine costs over a bare forward, backward and update of the same model.

    python tools/make_digits.py dataset/digits
    python benchmarks/engine_overhead.py [-c RECIPE] [-o KEY=VALUE ...]

Both work on the same batches, made beforehand, with the same model, loss and optimizer, in turns. Prints one JSON
object: the median seconds of a step of each, and the engine's share on top. The bare loop has no accumulation,
averaging, metrics, seeds or checks; the recipe should ask for none that cost by themselves.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time

import ppcls

CHANGES = ["Global.eval_during_train=false", "Global.use_visualdl=false", "DataLoader.Train.loader.num_workers=0"]


def by_engine(run, batches) -> list:
    """Return the seconds of each step by the engine."""
    from ppcls.engine import loop, saving
    from ppcls.engine.prefetch import place

    run.state.batch = 0
    run.averages.reset({})
    seconds = []
    for batch in batches:
        started = time.perf_counter()
        loop.train_step(run, place(batch))
        saving.save_if_due(run)
        seconds.append(time.perf_counter() - started)
    return seconds


def bare(run, batches) -> list:
    """Return the seconds of each step without the engine."""
    import paddle

    model, optimizer = run.state.model, run.state.optimizer
    seconds = []
    for batch in batches:
        started = time.perf_counter()
        parts = run.criterion.per_sample(model(paddle.to_tensor(batch.images)), paddle.to_tensor(batch.labels))
        loss = sum(losses.sum() / weights.sum() for losses, weights in parts.values())
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
        loss.item()
        seconds.append(time.perf_counter() - started)
    return seconds


def main() -> int:
    """Measure both in turns; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-c", "--config", default="quick_start/digits_ConvMixer")
    parser.add_argument("-o", "--override", nargs="+", default=[])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config = ppcls.load_config(options.config, [*CHANGES, f"Global.output_dir={folder}", *options.override])
        from ppcls.engine.setup import open_run

        with open_run(config) as run:
            batches = [batch for _, batch in zip(range(options.steps), run.train_loader.epoch(0))]
            run.state.model.train()
            times: dict = {"engine": [], "bare": []}
            for _ in range(options.rounds + 1):
                times["engine"].append(by_engine(run, batches))
                times["bare"].append(bare(run, batches))
    # The first round compiles and allocates.
    steps = {
        name: statistics.median(second for part in rounds[1:] for second in part) for name, rounds in times.items()
    }
    overhead = steps["engine"] / steps["bare"] - 1
    print(json.dumps({"recipe": options.config, "seconds a step": steps, "overhead": round(overhead, 4)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
