"""``ppcls report``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import List

from ppcls.commands import ending
from ppcls.commands.command import Command, add_import_option, import_components, import_paddle, to_json
from ppcls.utils.paths import user_path


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs", metavar="RUN", nargs="+", help="folder of a run; several for one page that compares them"
    )
    out_help = (
        "the page, or a folder for it (default: report.html in the run's folder; of several comparison.html here)"
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
    _say_ending(folders, page)
    return 0


def _say_ending(folders: List[Path], page: Path) -> None:
    """Say where the page is, and what to do next."""
    from ppcls.report.build import PICTURES

    if len(folders) == 1:
        reached = f"reported: {ending.short(folders[0])}"
        following = ending.command("ppcls", "infer", folders[0], "IMAGES", "--out", "answers.csv")
    else:
        reached = f"compared {len(folders)} runs"
        following = ending.command("ppcls", "compare", *folders[:2])
    ending.say(reached, {"page": page, "pictures": page.parent / PICTURES}, following)


COMMAND = Command("report", "write the report of a run again, or one page about several runs", _add_options, _run)
