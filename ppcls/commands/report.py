"""``ppcls report``."""

from __future__ import annotations

import argparse

from ppcls.commands import ending
from ppcls.commands.command import Command, add_import_option, import_components, import_paddle, to_json
from ppcls.utils.paths import user_path


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", metavar="RUN", nargs="+", help="folder of a run; several: one page beside each other")
    out_help = (
        "the page, or a folder for it (default: report.html in the run's folder; comparison.html here of several)"
    )
    parser.add_argument("--out", metavar="PATH", help=out_help)
    parser.add_argument("--stage", metavar="NAME", help="one of the run's stages (default: the last)")
    add_import_option(parser)


def _run(options: argparse.Namespace) -> int:
    import_paddle()
    import_components(options)
    from ppcls.errors import ConfigError
    from ppcls.report.build import rebuild
    from ppcls.report.compare import compare

    folders = [user_path(run) for run in options.runs]
    out = None if options.out is None else user_path(options.out)
    if len(folders) == 1:
        page = rebuild(folders[0], out, options.stage)
    elif options.stage is not None:
        raise ConfigError("--stage is for the report of one run; give the folders of the stages instead")
    else:
        page = compare(folders, out)
    print(to_json({"report": str(page)}))
    if len(folders) == 1:
        ending.say("wrote the report", {"page": page}, ending.command("ppcls", "serve", folders[0]))
    else:
        following = ending.command("ppcls", "compare", *folders[:2])  # photo by photo
        ending.say(f"compared {len(folders)} runs", {"page": page}, following)
    return 0


COMMAND = Command("report", "write the report of a run again, or one page about several runs", _add_options, _run)
