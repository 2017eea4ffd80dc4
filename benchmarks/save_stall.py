"""How long training stands still for a checkpoint, and how long the checkpoint takes to reach the disk.

    python benchmarks/save_stall.py --model CycleMLP_B2 --saves 5

A model with AdamW's state is saved as training does it: a copy is made, then written in the background. Prints one JSON
object, medians in seconds: "stall" is until training goes on, "written" until everything is on the disk (what training
waited for if it wrote by itself). "stall_while_writing" is that of a save that has to wait for the one before it.
"added_mib" is the memory that a save adds at its peak, "state_mib" the size of what is saved.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # a clone works without being installed

from benchmarks import _memory  # noqa: E402
from ppcls.utils import environment  # noqa: E402


def main() -> int:
    """Measure; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="CycleMLP_B2")
    parser.add_argument("--saves", type=int, default=5)
    parser.add_argument("--folder", help="where to write; default: the system's temporary folder")
    options = parser.parse_args()
    environment.import_paddle()
    import paddle

    from ppcls.engine.amp import MixedPrecision
    from ppcls.engine.checkpointing.saver import Saver
    from ppcls.engine.components import load_config
    from ppcls.engine.state import Best, TrainState
    from ppcls.optimizer import build_schedule
    from ppcls.weights import create_model

    model = create_model(options.model)
    optimizer = paddle.optimizer.AdamW(1e-3, parameters=model.parameters())
    schedule = build_schedule({"name": "ConstLR", "learning_rate": 1e-3}, epochs=1, steps_per_epoch=1)
    state = TrainState(model, optimizer, Best("top1"), {}, MixedPrecision(None, model, optimizer), schedule)
    config = load_config("quick_start/digits_ConvMixer")
    alone, written, waited, added = [], [], [], []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder, Saver(Path(folder), config) as saver:
        saver.save_latest(state, {})  # creates the optimizer's state
        for _ in range(options.saves):
            _memory.restart_peak()
            before, started = _memory.resident(), time.perf_counter()
            saver.save_epoch(state, {})
            alone.append(time.perf_counter() - started)
            saver.wait()
            written.append(time.perf_counter() - started)
            added.append(_memory.peak() - before)
        for _ in range(options.saves):
            saver.save_epoch(state, {})
            started = time.perf_counter()
            saver.save_epoch(state, {})
            waited.append(time.perf_counter() - started)
            saver.wait()
        size = sum(path.stat().st_size for path in Path(folder).glob("latest.*"))
    medians = {"stall": alone, "written": written, "stall_while_writing": waited}
    parameters = sum(int(p.size) for p in model.parameters())
    result = {"model": options.model, "parameters": parameters, "checkpoint_mb": round(size / 1e6, 1)}
    result.update(state_mib=round(size / 2**20), added_mib=round(max(added)))
    print(json.dumps({**result, **{name: round(statistics.median(values), 3) for name, values in medians.items()}}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
