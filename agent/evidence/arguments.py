"""Arguments that several commands of `bodycam-evidence` take."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from agent.errors import UsageError, reason

EPILOG = """exit status: 0 done; 1 the evidence does not verify (findings on standard output); 2 usage; 4 storage;
6 keys or trust; 70 a defect of this program; 130 interrupted; 141 nobody reads the output"""


def sub(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str, example: str
) -> argparse.ArgumentParser:
    """A command with this help text, and examples of it."""
    return commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=f"{example}\n\n{EPILOG}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def paths(parser: argparse.ArgumentParser) -> None:
    """What is to be read."""
    parser.add_argument(
        "paths",
        nargs="+",
        type=Path,
        metavar="PATH",
        help="segments (*.tar), directories of them, or exports; revocations of lost cameras and purge notes "
        "beside them",
    )


def trust(parser: argparse.ArgumentParser, head: bool = True, several: bool = False) -> None:
    """The root and, where `head`, a later head; `several` of them, one for each log."""
    parser.add_argument(
        "--trust",
        type=Path,
        required=True,
        metavar="ROOT.pem",
        help="the agency's root certificate, from a source you trust",
    )
    if head:
        parser.add_argument(
            "--head",
            type=Path,
            action="append" if several else "store",
            default=[] if several else None,
            metavar="NOTE|RECEIPT",
            help="a later checkpoint or station receipt: proves that nothing is missing at the end"
            + (" of its log; once for each log" if several else ""),
        )


def check_heads(heads: Sequence[Path]) -> None:
    """A head that is not there is a wrong use; said before the work begins."""
    for head in heads:
        try:
            head.stat()
        except OSError as err:
            raise UsageError(f"--head {head}: {reason(err)}", "name a checkpoint note or a receipt") from None


def zone(parser: argparse.ArgumentParser) -> None:
    """In which times are shown."""
    parser.add_argument(
        "--tz",
        metavar="ZONE",
        help="show times in this zone, like Africa/Casablanca or UTC (default: this machine's); --json holds UTC",
    )


def as_json(parser: argparse.ArgumentParser) -> None:
    """For scripts."""
    parser.add_argument("--json", action="store_true", help="report as one JSON object on standard output")


def key(parser: argparse.ArgumentParser, required: bool = True, more: str = "") -> None:
    """The keys that open it; `more` is what else is said of them."""
    parser.add_argument(
        "-i",
        "--identity",
        type=Path,
        action="append",
        default=[],
        required=required,
        metavar="KEYFILE",
        help=f"age identity file, as for `age -d -i`; once for each, where keys were rotated{more}",
    )
