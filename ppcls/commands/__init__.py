"""The commands of ``ppcls``, one module each."""

from typing import Dict, Sequence

from ppcls.commands import (
    average,
    benchmark,
    check,
    compare,
    config,
    convert,
    cross_validate,
    evaluate,
    explain,
    export,
    find_lr,
    infer,
    info,
    models,
    pack_data,
    report,
    schedule,
    serve,
    show_data,
    similar,
    split_data,
    summary,
    sweep,
    train,
)
from ppcls.commands.command import Command

# By task, as `ppcls --help` lists them.
GROUPS: Dict[str, Sequence[Command]] = {
    "Train and evaluate": (
        train.COMMAND,
        evaluate.COMMAND,
        report.COMMAND,
        find_lr.COMMAND,
        schedule.COMMAND,
    ),
    "Tune": (sweep.COMMAND, cross_validate.COMMAND, average.COMMAND),
    "Use and deploy": (infer.COMMAND, export.COMMAND, serve.COMMAND, convert.COMMAND),
    "Look into a model": (explain.COMMAND, similar.COMMAND, compare.COMMAND),
    "Data": (check.COMMAND, check.ALIAS, show_data.COMMAND, split_data.COMMAND, pack_data.COMMAND),
    "Recipes and models": (config.COMMAND, models.COMMAND, summary.COMMAND, benchmark.COMMAND),
    "This installation": (info.COMMAND,),
}
COMMANDS: Dict[str, Command] = {command.name: command for group in GROUPS.values() for command in group}
