"""The page of a sweep: the ranking, each value against the result, and the curves of all trainings."""

from __future__ import annotations

import shlex
from html import escape
from typing import TYPE_CHECKING, Any, List, Optional, Sequence, Tuple

from ppcls.report.charts import LineChart, Series
from ppcls.report.svg import STYLE, draw_chart
from ppcls.tuning import grid, trials
from ppcls.tuning.tables import cell, duration
from ppcls.tuning.trials import Trial
from ppcls.utils.html import page, table

if TYPE_CHECKING:
    from ppcls.tuning.sweeps import Ranked, Sweep

_CURVES = 8  # the best ones, as many as there are colors
_LOG_FACTOR = 20  # from the least to the largest number, above which an axis grows by factors
_STYLE = STYLE + (
    ".charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); gap: 1.2rem }"
)


def render_sweep(sweep: Sweep) -> str:
    """Return the page."""
    title = f"Sweep of {sweep.recipe.name}"
    states = [trial.state for trial in sweep.trials]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states)))
    body = [f"<h1>{escape(title)}</h1>", f"<p>{len(sweep.trials)} trainings: {counts}.</p>"]
    if sweep.ranking:
        body += [*_best(sweep, sweep.ranking[0]), *_ranking(sweep), *_charts(sweep)]
    return page(title, [*body, *_unfinished(sweep)], _STYLE)


def _best(sweep: Sweep, best: Ranked) -> List[str]:
    values = ", ".join(f"{key}={grid.show(value)}" for key, value in best.point.items())
    spread = "" if best.deviation is None else f" &plusmn; {best.deviation:.5f} ({len(best.members)} seeds)"
    so_far = "" if all(trial.state in (trials.DONE, trials.FAILED) for trial in sweep.trials) else " so far"
    return [
        f"<p>Best{so_far}: <b>{escape(sweep.metric)} {best.mean:.5f}</b>{spread} with <b>{escape(values)}</b></p>",
        f"<pre>{escape(sweep.command(best.point))}</pre>",
    ]


def _ranking(sweep: Sweep) -> List[str]:
    names = grid.short_keys(list(sweep.ranking[0].point))
    has_seeds = any(ranked.deviation is not None for ranked in sweep.ranking)
    deviation = ["deviation"] if has_seeds else []
    header = ["", *(escape(name) for name in names.values()), escape(sweep.metric), *deviation, "best epoch", "time"]
    rows = []
    for number, ranked in enumerate(sweep.ranking, 1):
        epochs = ", ".join(str(trial.result["epoch"]) for trial in ranked.members if trial.result is not None)
        seconds = sum(trial.seconds for trial in ranked.members)
        values = [escape(grid.show(ranked.point[key])) for key in names]
        spread = [cell(ranked.deviation)] if has_seeds else []
        rows.append([str(number), *values, cell(ranked.mean), *spread, epochs, duration(seconds)])
    runs = [ranked.best_run.name for ranked in sweep.ranking][:_CURVES]
    compare = escape(shlex.join(["ppcls", "report", *(str(sweep.root / run) for run in runs)]))
    return [
        "<h2>Ranking</h2>",
        table(header, rows),
        "<p class='dim'>Each folder beside this page is an ordinary run. One page about the best of them: "
        f"<code>{compare}</code></p>",
    ]


def _charts(sweep: Sweep) -> List[str]:
    names = grid.short_keys(list(sweep.ranking[0].point))
    drawn = [_by_value(sweep, key, name) for key, name in names.items()]
    charts = [draw_chart(chart) for chart in (*drawn, _curves(sweep)) if chart is not None and not chart.is_empty]
    return ["<h2>Charts</h2>", f"<div class='charts'>{''.join(charts)}</div>"]


def _by_value(sweep: Sweep, key: str, name: str) -> Optional[LineChart]:
    """Return the results over the numbers of one key; None where its values are no numbers."""
    points = [(ranked.point[key], ranked.mean) for ranked in sweep.ranking]
    if not all(isinstance(value, (int, float)) and not isinstance(value, bool) for value, _ in points):
        return None
    numbers = [float(value) for value, _ in points]
    if len(set(numbers)) < 2:
        return None
    is_log = min(numbers) > 0 and max(numbers) > _LOG_FACTOR * min(numbers)
    series = Series("", sorted(zip(numbers, (mean for _, mean in points))), "points")
    return LineChart(f"{sweep.metric} by {name}", name, sweep.metric, [series], log_x=is_log)


def _curves(sweep: Sweep) -> LineChart:
    series = [
        Series(ranked.best_run.name, curve(ranked.best_run), color=number)
        for number, ranked in enumerate(sweep.ranking[:_CURVES])
    ]
    return LineChart(f"{sweep.metric} by epoch, the best {len(series)}", "epoch", sweep.metric, series)


def curve(trial: Trial) -> List[Tuple[float, float]]:
    """Return (epoch, value) of each evaluation of a finished training."""
    points: Sequence[Sequence[Any]] = trial.result["curve"] if trial.result is not None else []
    return [(float(epoch), float(value)) for epoch, value in points if value is not None]


def _unfinished(sweep: Sweep) -> List[str]:
    rows = [
        [escape(trial.name), trial.state, escape(trial.error or "")]
        for trial in sweep.trials
        if trial.state != trials.DONE
    ]
    return ["<h2>Not finished</h2>", table(["point", "state", "error"], rows, (1, 2))] if rows else []
