"""Images a second of exported models in each runtime, beside the checkpoint in Paddle and the same model in PyTorch.

    python benchmarks/inference_speed.py [VARIANT...] [--runtimes RUNTIME...] [--torch-python PATH]

The model alone is timed, from a batch in memory to probabilities. Weights are random: they do not change the speed.
Every runtime gets ``--threads`` threads and a process of its own, in turns. The fastest round counts, since other
programs can only slow it down. PyTorch is measured where ``--torch-python`` names a Python that has torch and timm, in
eager mode, for the variants that timm has.
Prints a line of JSON a variant and number of threads: {"name", "threads", "images/s": {runtime: {batch size: ...}}}.
``--exports FOLDER`` keeps the exports, and takes those that are there; ``--export-only`` measures nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
VARIANTS = ["ConvMLP_S", "ConvMixer_1024_20", "gMLP_S16", "CycleMLP_B1"]
PRECISIONS = {"openvino": "float32", "openvino-bfloat16": "bfloat16"}
RUNTIMES = ["dygraph", "paddle", "onnx", *PRECISIONS]
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
        name, precision = runtime.partition("-")[0], PRECISIONS.get(runtime)
        rates(open_backend(described, name, threads, CPU, precision).run, size, batches, seconds)
        return
    environment.import_paddle()
    import ppcls
    from ppcls.engine.inference import make_predict_fn

    config = ppcls.load_config(folder / "recipe.yaml")
    model = ppcls.create_model(config.Arch.name, class_num=config.Arch.class_num)
    ppcls.load_weights(model, folder / "weights.pdparams")
    rates(make_predict_fn(model, "softmax"), size, batches, seconds)


@contextlib.contextmanager
def exported(name: str, options: argparse.Namespace) -> Iterator[Path]:
    """Give a folder with the recipe, the weights and the export of a variant."""
    import export_differences

    import ppcls
    from ppcls.exporting.options import Options

    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if options.exports:
            folder = options.exports / name
            folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "inference").is_dir():
            ppcls.export(export_differences.prepared(name, folder, options.images), Options(onnx=True))
        yield folder


def measure(name: str, folder: Path, threads: int, options: argparse.Namespace) -> Dict[str, Any]:
    """Return the rates of one variant in all runtimes."""
    sizes = [str(size) for size in options.batches]
    common = ["--folder", str(folder), "--seconds", str(options.seconds), "--threads", str(threads)]
    commands = {
        runtime: [sys.executable, __file__, "--child", runtime, *common, "--batches", *sizes]
        for runtime in options.runtimes
    }
    if options.torch_python and name in TIMM:
        given = [str(Path(__file__).parent), str(threads), TIMM[name], str(options.seconds), *sizes]
        commands["torch"] = [options.torch_python, "-c", _TORCH, *given]
    rounds: Dict[str, List[Dict[str, float]]] = {runtime: [] for runtime in commands}
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    for _ in range(options.rounds):
        for runtime, command in commands.items():
            done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
            if done.returncode:
                raise SystemExit(f"{runtime}: {done.stderr}")
            rounds[runtime].append(json.loads(done.stdout.splitlines()[-1]))
    fastest = {
        runtime: {size: round(max(values[size] for values in found), 2) for size in sizes}
        for runtime, found in rounds.items()
    }
    return {"name": name, "threads": threads, "images/s": fastest}


def main() -> None:
    """Measure the variants that are asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("variants", nargs="*", default=VARIANTS, help=f"default: {' '.join(VARIANTS)}")
    parser.add_argument("--images", type=Path, default=Path("dataset/digits/val"), help="to compare the export on")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--threads", type=int, nargs="+", default=[2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="for a batch size in a round")
    parser.add_argument("--runtimes", nargs="+", choices=RUNTIMES, default=RUNTIMES)
    parser.add_argument("--exports", type=Path, help="a folder to keep the exports in")
    parser.add_argument("--export-only", action="store_true", help="make the exports, and measure nothing")
    parser.add_argument("--torch-python", help="a Python that has torch and timm")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.folder, options.batches, options.seconds, options.threads[0])
        return
    for name in options.variants:
        with exported(name, options) as folder:
            for threads in [] if options.export_only else options.threads:
                print(json.dumps(measure(name, folder, threads, options)), flush=True)


if __name__ == "__main__":
    main()
