"""What the suites write: JSON, tables in Markdown and pictures."""

from __future__ import annotations

import datetime
import json
import os
import sys
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Sequence


class Table(NamedTuple):
    """A table with a title."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """Return the table as Markdown."""
        lines = [list(self.header), ["---"] * len(self.header), *map(list, self.rows)]
        return f"**{self.title}**\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def machine() -> Dict[str, Any]:
    """Return what the numbers depend on."""
    from ppcls.utils import environment

    return {
        "processor": environment.processor_name(),
        "instructions": environment.processor_instructions(),
        "cores": environment.cores(),
        "python": sys.version.split()[0],
        "date": datetime.date.today().isoformat(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def merged(path: Path, results: Dict[str, Any]) -> Dict[str, Any]:
    """Return the results of earlier runs in a file with these added: new models, and more rounds of the same ones.

    Raises:
        SystemExit: the file has a model in another setting.
    """
    if not path.exists():
        return results
    earlier: Dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["results"]
    for name, found in results.items():
        if name not in earlier:
            earlier[name] = found
            continue
        if any(earlier[name][key] != found[key] for key in ("batch", "size")):
            raise SystemExit(f"{path}: {name} was measured with other images: leave --add out")
        for contestant, measured in found["contestants"].items():
            before = earlier[name]["contestants"].setdefault(contestant, measured)
            if before is not measured:
                before["rounds"] += measured["rounds"]
                before["peak_mib"] = max(filter(None, (before["peak_mib"], measured["peak_mib"])), default=None)
    return earlier


def write(folder: Path, suite: str, command: str, results: Dict[str, Any], tables: List[Table]) -> None:
    """Write ``suite.json`` and ``suite.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"command": command, "machine": machine(), "results": results}
    (folder / f"{suite}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    described = "\n".join(table.markdown() for table in tables)
    (folder / f"{suite}.md").write_text(described, encoding="utf-8")
    print(described)


def draw_bars(path: Path, title: str, values: Dict[str, Dict[str, float]], unit: str) -> None:
    """Draw values by group and name as bars, one axis a group."""
    figure, axes = _figure(1, len(values))
    names = list(dict.fromkeys(name for group in values.values() for name in group))
    for axis, (group, found) in zip(axes, values.items()):
        for index, name in enumerate(names):
            if name in found:
                axis.bar(index, found[name], color=f"C{index}", label=name)
        axis.set_title(group, fontsize=9)
        axis.set_xticks([])
    handles = {label: bar for axis in axes for bar, label in zip(*axis.get_legend_handles_labels())}
    axes[0].set_ylabel(unit)
    figure.legend(handles.values(), handles.keys(), loc="lower center", ncols=4, fontsize=8)
    figure.suptitle(title)
    figure.tight_layout(rect=(0, 0.12, 1, 1))
    figure.savefig(path, dpi=100)


def draw_lines(path: Path, title: str, values: Dict[str, Dict[float, float]], unit: str) -> None:
    """Draw values by group and number as lines on logarithmic axes, one axis a group."""
    figure, axes = _figure(1, len(values))
    for axis, (group, found) in zip(axes, values.items()):
        axis.loglog(list(found), list(found.values()), marker="o")
        axis.set_title(group, fontsize=9)
        axis.grid(True, which="both", alpha=0.3)
    axes[0].set_ylabel(unit)
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def _figure(rows: int, columns: int) -> Any:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(rows, columns, figsize=(2.6 * columns, 3.6), squeeze=False)
    return figure, list(axes.flat)
