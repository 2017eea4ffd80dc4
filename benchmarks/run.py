"""The benchmark suites.

    python benchmarks/run.py --suite train|infer|operators|data|startup|scale [--torch-python PATH ...]

| suite | measures |
| --- | --- |
| train | training steps of one variant a family, beside PyTorch |
| infer | forward passes in dygraph beside PyTorch, then exports in all runtimes (benchmarks/inference_speed.py) |
| operators | each CPU operator beside Paddle's own and PyTorch's |
| data | the data loader: workers, first batch, prefetching, memory |
| startup | from a command to its first step or answer (benchmarks/startup.py) |
| scale | how cost grows with the batch, the image size, the depth, threads, processes and data workers |

Contestants take turns, so that whatever else the machine does hits them alike. Each suite writes JSON, a table and a
picture to ``--output``. ``--add`` adds the rounds to those that are there, so that a long measurement can be done in
pieces (of the suites train and infer).
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # a clone works without being installed

from benchmarks.suite import results  # noqa: E402
from ppcls.utils import environment  # noqa: E402

SUITES = ("train", "infer", "operators", "data", "startup", "scale")


def main() -> int:
    """Run one suite, or all; return the exit code."""
    options = _parser().parse_args()
    options.dtypes = options.dtypes or ["float32", *(["bfloat16"] if environment.has_bfloat16() else [])]
    for suite in SUITES if options.suite == "all" else [options.suite]:
        if suite in ("train", "infer"):
            _speed(suite, options)
        elif suite == "operators":
            from benchmarks.suite import operators

            options.command = _command()
            operators.run(options)
        elif suite == "data":
            from benchmarks.suite import data

            data.run(options)
        elif suite == "startup":
            from benchmarks.suite import startup

            startup.run(options)
        else:
            from benchmarks.suite import scale

            scale.run(options)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", choices=[*SUITES, "all"], required=True)
    parser.add_argument("--models", nargs="+", metavar="NAME", help="of train and infer; default: one a family")
    parser.add_argument("--contestants", nargs="+", metavar="NAME", help="of train and infer, as tables name them")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of a contestant in a round; default: 3")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--dtypes", nargs="+", choices=["float32", "bfloat16"], help="default: those that the processor has"
    )
    parser.add_argument("--plain", action="store_true", help="also measure Paddle's own operators on CPUs")
    parser.add_argument("--torch-python", help="a Python that has PyTorch")
    parser.add_argument("--timm", action="store_true", help="also measure timm's models under --torch-python")
    parser.add_argument("--convmlp-code", type=Path, help="the authors' code of ConvMLP")
    parser.add_argument("--cyclemlp-code", type=Path, help="the authors' code of CycleMLP")
    parser.add_argument("--images", type=Path, help="folder of JPEGs for the suite data; default: made-up photos")
    parser.add_argument("--cifar", type=Path, help="CIFAR-10's unpacked files for the suite data")
    parser.add_argument("--quick", action="store_true", help="a tiny model, to try the suite out")
    parser.add_argument("--add", action="store_true", help="add to the rounds in --output")
    parser.add_argument("--page", type=Path, help="of train, infer and operators: a page to put the table into")
    parser.add_argument("--output", type=Path, default=ROOT / "logs" / "benchmarks")
    return parser


def _speed(suite: str, options: argparse.Namespace) -> None:
    from benchmarks.suite import exports, speed

    found = speed.run(options, suite)
    if options.add:
        found = results.merged(options.output / f"{suite}.json", found)
    tables = speed.tables(found, suite)
    results.write(options.output, suite, _command(), found, tables)
    if options.page is not None:
        content = {"tables": tables[:1], "command": _command(), "versions": speed.versions(found)}
        results.write_into(options.page, suite, content)
    results.draw_bars(options.output / f"{suite}.png", f"Suite {suite}", speed.bars(found), "images/s")
    if suite == "infer" and not options.quick:
        exports.run(options)


def _command() -> str:
    """Return the command, with the paths of this machine as PATH."""
    words = [word if not Path(word).is_absolute() else "PATH" for word in sys.argv[1:]]
    return shlex.join(["python", "benchmarks/run.py", *words])


if __name__ == "__main__":
    sys.exit(main())
