"""Write docs/components.md: every component that a recipe may name, with its arguments and defaults."""

import inspect
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a clone works without being installed

from ppcls.utils import environment

TITLES = {
    "architecture": ("Architectures", "Arch.name"),
    "dataset": ("Data sets", "DataLoader.*.dataset.name"),
    "sampler": ("Samplers", "DataLoader.*.sampler.name"),
    "transform": ("Transforms", "transform_ops"),
    "loss": ("Losses", "Loss.Train and Loss.Eval"),
    "metric": ("Metrics", "Metric.Train and Metric.Eval"),
    "optimizer": ("Optimizers", "Optimizer.name"),
    "schedule": ("Learning-rate schedules", "Optimizer.lr.name"),
}
HEADER = """# Components

Everything that a recipe may name, with the arguments it takes and their defaults; arguments without a default must be
given. Written by `make docs`.
"""


def reference() -> str:
    """Return the text of the page."""
    environment.import_paddle()
    from ppcls.engine.registries import REGISTRIES

    parts = [HEADER]
    for kind, (title, where) in TITLES.items():
        registry = REGISTRIES[kind]
        parts.append(f"## {title}\n\nIn `{where}`.\n")
        parts += [entry_text(registry[name]) for name in registry.names()]
    return "\n".join(parts)


def entry_text(entry) -> str:
    """Return one component: its name, what it does, its arguments."""
    summary = (inspect.getdoc(entry.target) or "").split("\n\n")[0].replace("\n", " ")
    arguments = [
        f"`{parameter.name}`" if parameter.required else f"`{parameter.name}={written(parameter.default)}`"
        for parameter in entry.parameters()
    ]
    return f"- **{entry.name}**: {summary}\n  Arguments: {', '.join(arguments) or 'none'}\n"


def written(value) -> str:
    """Return a default as a recipe writes it."""
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(written(item) for item in value) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value) if isinstance(value, str) else str(value)


if __name__ == "__main__":
    (ROOT / "docs" / "components.md").write_text(reference(), encoding="utf-8")
