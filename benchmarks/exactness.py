"""How far each architecture is from its reference implementation: logits, training loss and gradients.

    python benchmarks/exactness.py [ENTRY...]

The reference results are in tests/goldens (README.md there says how they were made). Prints one line per entry on
standard error, and writes all differences to logs/benchmarks/exactness.json:

- logits: largest difference, relative to the largest logit, in evaluation mode;
- loss: relative difference of the cross-entropy in training mode (statistics of the batch, no dropout), and
  gradient_norms: largest relative difference of a parameter's gradient norm, with its name. One entry per family has
  them. The reference summed the squares in float32, which alone makes 1e-4 of a million numbers.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Dict

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from ppcls.utils import environment  # noqa: E402

environment.prepare()

import paddle  # noqa: E402

from tests.goldens import compare  # noqa: E402


def measure(entry: str) -> Dict[str, Any]:
    """Return all differences of one entry."""
    model, report = compare.load_reference(entry)
    found: Dict[str, Any] = {"logits": compare.logits_difference(entry, model), "names": report.naming}
    if "train" in compare.reference()[entry]:
        differences = compare.training_differences(entry, model, report)
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
    known = compare.reference()
    unknown = [entry for entry in options.entries if entry not in known]
    if unknown:
        parser.error(f"no reference results for {', '.join(unknown)}; there are {', '.join(known)}")
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
