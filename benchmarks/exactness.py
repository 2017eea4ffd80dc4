"""How far each architecture is from its reference implementation: logits, training loss and gradients.

    python benchmarks/exactness.py [ENTRY...]

Needs the reference results in ../shared/goldens (README.md there says how they were made): every weight and the input
are made from names and shapes alone. Prints one line an entry on standard error, and writes all differences to
logs/benchmarks/exactness.json:

- logits: largest difference, relative to the largest logit, in evaluation mode;
- loss: relative difference of the cross-entropy in training mode (statistics of the batch, no dropout), and
  gradient_norms: largest relative difference of a parameter's gradient norm, with its name; for the entries that have
  them, one a family. The reference summed the squares in float32, which alone makes 1e-4 of a million numbers.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Dict, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from ppcls.utils import environment

environment.prepare()

import numpy as np  # noqa: E402
import paddle  # noqa: E402

from ppcls.arch.backbone.base import Backbone  # noqa: E402
from ppcls.weights import LoadReport, create_model, load_weights  # noqa: E402
from ppcls.weights.names import namings_of  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
GOLDENS = ROOT.parent / "shared" / "goldens"
sys.path.insert(0, str(GOLDENS))


def reference() -> Dict[str, Dict[str, Any]]:
    """Return what is known of each entry (a variant, or VARIANT@timm for timm's names); nothing if it is not here."""
    file = GOLDENS / "reference.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def built(entry: str) -> Tuple[Backbone, LoadReport]:
    """Return the variant with the reference's weights, and how they were loaded."""
    import fill  # it lives beside the reference results

    model = create_model(entry.split("@")[0])
    state = {name: fill.fill(name, shape) for name, shape in reference()[entry]["state"].items()}
    report = load_weights(model, state)
    assert len(report.loaded) + len(report.dropped) == len(state)
    return model, report


def logits_difference(entry: str, model: Backbone) -> float:
    """Return the largest difference of the logits, relative to the largest one."""
    import fill

    model.eval()
    with paddle.no_grad():
        found = model(paddle.to_tensor(fill.image())).numpy()
    expected = np.load(GOLDENS / "logits.npz")[entry]
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def training_differences(entry: str, model: Backbone, report: LoadReport) -> Dict[str, float]:
    """Return the relative differences of the loss ("loss") and of each parameter's gradient norm, by our names."""
    import fill

    expected = reference()[entry]["train"]
    model.train()
    loss = paddle.nn.functional.cross_entropy(model(paddle.to_tensor(fill.image())), paddle.to_tensor(fill.labels()))
    loss.backward()
    found = {"loss": abs(float(loss) - expected["loss"]) / expected["loss"]}
    naming = next(naming for naming in namings_of(model) if naming.source == report.naming)
    parameters = dict(model.named_parameters())
    for name, norm in expected["grad_norm"].items():
        ours = str(naming.rename(name))
        mine = float(np.linalg.norm(parameters[ours].grad.numpy().astype("float64")))
        # Below 1e-3, norms are rounding: a shift that a softmax or a norm takes out again has no gradient.
        found[ours] = abs(mine - norm) / max(norm, 1e-3)
    return found


def measure(entry: str) -> Dict[str, Any]:
    """Return all differences of one entry."""
    model, report = built(entry)
    found: Dict[str, Any] = {"logits": logits_difference(entry, model), "names": report.naming}
    if "train" in reference()[entry]:
        differences = training_differences(entry, model, report)
        found["loss"] = differences.pop("loss")
        worst = max(differences, key=differences.__getitem__)
        found["gradient_norms"] = {"largest": differences[worst], "of": worst, "parameters": len(differences)}
    return found


def main() -> int:
    """Measure, print and write; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("entries", nargs="*", metavar="ENTRY", help="such as gMLP_S16 or ConvMixer_768_32@timm")
    parser.add_argument("--log", type=Path, default=ROOT / "logs" / "benchmarks" / "exactness.json")
    options = parser.parse_args()
    known = reference()
    if not known:
        print(f"nothing to compare with: {GOLDENS} is not here", file=sys.stderr)
        return 0
    results = {}
    for entry in options.entries or known:
        results[entry] = measure(entry)
        print(entry, json.dumps(results[entry]), file=sys.stderr, flush=True)
    lines = ",\n".join(f"  {json.dumps(entry)}: {json.dumps(found)}" for entry, found in results.items())
    text = f'{{\n "paddle": "{paddle.__version__}",\n "entries": {{\n{lines}\n }}\n}}\n'
    options.log.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
