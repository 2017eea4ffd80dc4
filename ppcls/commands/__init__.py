"""The commands of ``ppcls``, a module each, in the order in which ``ppcls --help`` lists them."""

from typing import Dict

from ppcls.commands import (
    check_data,
    config,
    convert,
    evaluate,
    export,
    infer,
    models,
    pack_data,
    schedule,
    serve,
    show_data,
    split_data,
    summary,
    train,
)
from ppcls.commands.command import Command

COMMANDS: Dict[str, Command] = {
    command.name: command
    for command in (
        train.COMMAND,
        evaluate.COMMAND,
        infer.COMMAND,
        export.COMMAND,
        serve.COMMAND,
        config.COMMAND,
        schedule.COMMAND,
        models.COMMAND,
        summary.COMMAND,
        convert.COMMAND,
        split_data.COMMAND,
        pack_data.COMMAND,
        check_data.COMMAND,
        show_data.COMMAND,
    )
}
