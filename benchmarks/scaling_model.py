"""What each model's processes exchange in a step, and how well training would scale, by a model of the network.

    python benchmarks/scaling_model.py [--batch 64] [--tflops 40] [--latency 20] [--models 'ConvMixer*']
    python benchmarks/scaling_model.py --check

The first prints two tables in Markdown: bytes per step, and the expected efficiency (images/s of n devices over n times
those of one). It computes and measures nothing; the assumptions:

- A step takes 3 x 2 x MACs x batch / (effective FLOP/s of a device), two thirds of which are the backward pass.
- n processes sum up b bytes in a ring: 2 (n - 1) / n x b / bandwidth + 2 (n - 1) x latency.
- Gradients are hidden behind the backward pass, but for the last 1 MB (Paddle's last bucket); the batch-norm statistics
  and one number are not hidden.

``--check`` measures the two numbers of the network with two processes on this machine (gloo), predicts by them how long
the exchange of two models' gradients takes, and measures that in training steps: the copies into one array and back
alone, and all together. The fastest of 15 counts.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LAST_BUCKET = 1 << 20
GBITS = (1, 10, 25, 100)
DEVICES = (2, 4, 8, 16, 32, 64)
# Name, constructor arguments, image size and batch of a process.
CHECKED = (
    ("ConvMixer", {"dim": 256, "depth": 8, "kernel_size": 5, "patch_size": 2, "class_num": 10}, 32, 4),
    ("gMLP_Ti16", {}, 224, 1),
)


def exchange_seconds(devices: int, size: float, bandwidth: float, latency: float) -> float:
    """Return the time of a ring in which ``devices`` sum up ``size`` bytes, at bytes a second and seconds a message."""
    return 2 * (devices - 1) / devices * size / bandwidth + 2 * (devices - 1) * latency


def efficiency(devices: int, step: float, size: dict, bandwidth: float, latency: float) -> float:
    """Return the share of a device's speed that is left among ``devices``."""
    all_gradients, rest, fused = (
        exchange_seconds(devices, part, bandwidth, latency)
        for part in (size["gradients"], min(LAST_BUCKET, size["gradients"]), size["extra"])
    )
    visible = max(rest, all_gradients - step * 2 / 3) + fused
    return step / (step + visible)


def exchanged_bytes(model) -> dict:
    """Return the bytes that a process contributes to each exchange of a step."""
    from ppcls.engine.reduction import batch_norm_statistics

    model.train()
    gradients = sum(int(parameter.size) for parameter in model.parameters() if not parameter.stop_gradient)
    statistics_ = sum(int(tensor.size) for tensor in batch_norm_statistics(model))
    return {"gradients": 4 * gradients, "extra": 4 * statistics_ + 4}


def tables(options: argparse.Namespace) -> None:
    """Print both tables."""
    from ppcls.arch.catalog import catalog
    from ppcls.weights import create_model

    rows = []
    for entry in catalog(options.models):
        size = exchanged_bytes(create_model(entry["name"]))
        rows.append((entry["name"], size, 6 * entry["macs"] * options.batch / (options.tflops * 1e12)))
    print("| | gradients, MB | batch norm and flag, kB | step, ms |\n| --- | --- | --- | --- |")
    for name, size, step in rows:
        print(f"| {name} | {size['gradients'] / 1e6:.1f} | {size['extra'] / 1e3:.3g} | {1e3 * step:.0f} |")
    for gbits in GBITS:
        print(f"\n{gbits} Gbit/s:\n\n| | {' | '.join(map(str, DEVICES))} |\n| --- |{' --- |' * len(DEVICES)}")
        for name, size, step in rows:
            values = [efficiency(n, step, size, gbits * 1.25e8, options.latency / 1e6) for n in DEVICES]
            print(f"| {name} | {' | '.join(f'{100 * value:.0f} %' for value in values)} |")


def fastest_seconds(prepare, call, repeats: int = 15) -> float:
    """Return the seconds of the fastest of several calls, each made when both processes are ready for it."""
    import paddle

    times = []
    for _ in range(repeats):
        prepare()
        paddle.distributed.barrier()
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times)


def measure(path: str) -> None:
    """Measure in this process, one of two, and write the results as JSON."""
    import numpy as np
    import paddle

    from ppcls.utils import distributed
    from ppcls.weights import create_model

    paddle.set_device("cpu")
    distributed.init("cpu")
    small, large = paddle.zeros([1]), paddle.zeros([4 << 20])
    short, long = (fastest_seconds(int, lambda: paddle.distributed.all_reduce(one)) for one in (small, large))  # noqa: B023
    # With two processes the model is size / bandwidth + 2 x latency.
    latency, bandwidth = short / 2, 4 * int(large.size) / (long - short)
    results: dict = {"latency, us": 1e6 * latency, "bandwidth, Gbit/s": bandwidth / 1.25e8}
    for name, arguments, image, batch in CHECKED:
        model = create_model(name, **arguments)
        images = paddle.to_tensor(np.random.default_rng(0).normal(size=(batch, 3, image, image)).astype("float32"))

        def step(images=images, model=model):
            model.clear_gradients(set_to_zero=False)
            model(images).square().mean().backward()

        def exchange(model=model):
            distributed.all_reduce_tensors([one.grad for one in model.parameters() if one.grad is not None])

        def pack(model=model):
            used = [one.grad for one in model.parameters() if one.grad is not None]
            flat = paddle.concat([one.reshape([-1]) for one in used])
            for one, part in zip(used, paddle.split(flat, [int(one.size) for one in used])):
                paddle.assign(part.reshape(one.shape), one)

        packing, measured = fastest_seconds(step, pack), fastest_seconds(step, exchange)
        size = exchanged_bytes(model)["gradients"]
        results[name] = {
            "gradients, MB": size / 1e6,
            "ring predicted, ms": 1e3 * exchange_seconds(2, size, bandwidth, latency),
            "packing measured, ms": 1e3 * packing,
            "both measured, ms": 1e3 * measured,
        }
    if distributed.is_main():
        Path(path).write_text(json.dumps(results))


def check() -> None:
    """Measure with two processes, and print the results as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        launcher = ["-m", "paddle.distributed.launch", "--nproc_per_node", "2", "--log_dir", f"{folder}/log"]
        command = [sys.executable, *launcher, __file__, "--worker", f"{folder}/results.json"]
        environment = {"OMP_NUM_THREADS": "1", **os.environ}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        print((Path(folder) / "results.json").read_text())


def main() -> int:
    """Print what the options ask for; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--batch", type=int, default=64, help="images of a device in a step")
    parser.add_argument("--tflops", type=float, default=40.0, help="what a device really computes a second, 1e12 FLOP")
    parser.add_argument("--latency", type=float, default=20.0, help="of a message, microseconds")
    parser.add_argument("--models", default="*", help="pattern")
    parser.add_argument("--check", action="store_true", help="measure with two processes instead")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        measure(options.worker)
    elif options.check:
        check()
    else:
        tables(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
