"""Images a second of exported models in both runtimes, beside the checkpoint in Paddle and the same model in PyTorch.

    python benchmarks/inference_speed.py [VARIANT...] [--torch-python PATH]

The model alone is timed, from a batch in memory to probabilities. Weights are random: they do not change the speed.
Every runtime gets ``--threads`` threads and a process of its own, in turns; the median of the rounds counts. PyTorch is
measured where ``--torch-python`` names a Python that has torch and timm, in eager mode, for the variants that timm has.
Prints a line of JSON a variant: {"name", "threads", "images/s": {runtime: {batch size: ...}}}.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, List

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
VARIANTS = ["ConvMLP_S", "ConvMixer_1024_20", "gMLP_S16", "CycleMLP_B1"]
TIMM = {
    "ConvMixer_768_32": "convmixer_768_32",
    "ConvMixer_1024_20": "convmixer_1024_20_ks9_p14",
    "ConvMixer_1536_20": "convmixer_1536_20",
    "gMLP_Ti16": "gmlp_ti16_224",
    "gMLP_S16": "gmlp_s16_224",
    "gMLP_B16": "gmlp_b16_224",
}
_TORCH = """
import sys, timm, torch
sys.path.insert(0, sys.argv[1])
from inference_speed import rates
torch.set_num_threads(int(sys.argv[2]))
model = timm.create_model(sys.argv[3]).eval()
def run(batch):
    with torch.inference_mode():
        return model(torch.from_numpy(batch)).softmax(1)
rates(run, 224, [int(size) for size in sys.argv[5:]], float(sys.argv[4]))
"""


def rates(run: Callable[[Any], Any], size: int, batches: List[int], seconds: float) -> None:
    """Print the images a second of each batch size, as JSON."""
    import numpy as np

    found = {}
    for count in batches:
        batch = np.random.default_rng(0).standard_normal((count, 3, size, size), dtype=np.float32)
        run(batch)
        started, rounds = time.perf_counter(), 0
        while not rounds or time.perf_counter() - started < seconds:
            run(batch)
            rounds += 1
        found[count] = rounds * count / (time.perf_counter() - started)
    print(json.dumps(found))


def child(runtime: str, folder: Path, batches: List[int], seconds: float, threads: int) -> None:
    """Measure one of our runtimes."""
    from ppcls.utils import environment

    environment.prepare()
    from ppcls.inference import description
    from ppcls.inference.backends import open_backend
    from ppcls.inference.backends.devices import CPU

    described = description.read(folder / "inference")
    size = described.image_shape[1]
    if runtime != "dygraph":
        rates(open_backend(described, runtime, threads, CPU).run, size, batches, seconds)
        return
    environment.import_paddle()
    import ppcls
    from ppcls.engine.inference import make_predict_fn

    config = ppcls.load_config(folder / "recipe.yaml")
    model = ppcls.create_model(config.Arch.name, class_num=config.Arch.class_num)
    ppcls.load_weights(model, folder / "weights.pdparams")
    rates(make_predict_fn(model, "softmax"), size, batches, seconds)


def measure(name: str, options: argparse.Namespace) -> Dict[str, Any]:
    """Return the rates of one variant in all runtimes."""
    import export_differences

    import ppcls
    from ppcls.exporting.options import Options

    sizes = [str(size) for size in options.batches]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        ppcls.export(export_differences.prepared(name, folder, options.images), Options(onnx=True))
        common = ["--folder", str(folder), "--seconds", str(options.seconds), "--threads", str(options.threads)]
        commands = {
            runtime: [sys.executable, __file__, "--child", runtime, *common, "--batches", *sizes]
            for runtime in ("dygraph", "paddle", "onnx")
        }
        if options.torch_python and name in TIMM:
            here, threads = str(Path(__file__).parent), str(options.threads)
            given = [here, threads, TIMM[name], str(options.seconds), *sizes]
            commands["torch"] = [options.torch_python, "-c", _TORCH, *given]
        rounds: Dict[str, List[Dict[str, float]]] = {runtime: [] for runtime in commands}
        environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
        for _ in range(options.rounds):
            for runtime, command in commands.items():
                done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
                if done.returncode:
                    raise SystemExit(f"{runtime}: {done.stderr}")
                rounds[runtime].append(json.loads(done.stdout.splitlines()[-1]))
    medians = {
        runtime: {size: round(statistics.median(values[size] for values in found), 2) for size in sizes}
        for runtime, found in rounds.items()
    }
    return {"name": name, "threads": options.threads, "images/s": medians}


def main() -> None:
    """Measure the variants that are asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("variants", nargs="*", default=VARIANTS, help=f"default: {' '.join(VARIANTS)}")
    parser.add_argument("--images", type=Path, default=Path("dataset/digits/val"), help="to compare the export on")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="for a batch size in a round")
    parser.add_argument("--torch-python", help="a Python that has torch and timm")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.folder, options.batches, options.seconds, options.threads)
        return
    for name in options.variants:
        print(json.dumps(measure(name, options)), flush=True)


if __name__ == "__main__":
    main()
