"""`bodycam-evidence`: verify, decrypt, export, rewrap."""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from agent import __version__, localtime
from agent.errors import AgentError, Exit, StorageError, UsageError, printable, reason

EPILOG = """exit status: 0 done; 1 the evidence does not verify (findings on standard output); 2 usage; 4 storage;
6 keys or trust; 70 a defect of this program; 130 interrupted; 141 nobody reads the output"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    from agent.evidence.ahead import keep_memory

    options = _parser().parse_args(argv)
    keep_memory()
    if options.identity:
        # The agency's key, and what it opens, are about to be in memory.
        from agent.hardening import hardened

        hardened()
    run: Callable[[argparse.Namespace], int] = options.run
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Evidence may hold any character; a terminal that lacks it is no defect.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return run(options)
    except AgentError as err:
        return _told(err)
    except OSError as err:
        if isinstance(err, BrokenPipeError):
            raise
        words = f"{err.filename or 'file'}: {err.strerror}"
        return _told(StorageError(words, "check the disk, and the path's owner and mode"))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return int(Exit.INTERRUPTED)


def _told(error: AgentError) -> int:
    safe = AgentError(printable(error.message), printable(error.hint))
    print(f"error: {safe}", file=sys.stderr)
    return int(error.exit_status)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bodycam-evidence",
        description="Check, open, export and hand on what a camera recorded. Read-only, on any PC.",
        epilog="example: bodycam-evidence verify segments/ --trust root.pem\n\n" + EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"bodycam-evidence {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _verify_parser(commands)
    _decrypt_parser(commands)
    _export_parser(commands)
    _rewrap_parser(commands)
    return parser


def _sub(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str, example: str
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=f"{example}\n\n{EPILOG}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _paths(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths",
        nargs="+",
        type=Path,
        metavar="PATH",
        help="segments (*.tar), directories of them, or exports; revocations of lost cameras beside them",
    )


def _trust(parser: argparse.ArgumentParser, head: bool = True, several: bool = False) -> None:
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


def _check_heads(heads: Sequence[Path]) -> None:
    """A head that is not there is a wrong use; said before the work begins."""
    for head in heads:
        try:
            head.stat()
        except OSError as err:
            raise UsageError(f"--head {head}: {reason(err)}", "name a checkpoint note or a receipt") from None


def _zone(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tz",
        metavar="ZONE",
        help="show times in this zone, like Africa/Casablanca or UTC (default: this machine's); --json holds UTC",
    )


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="report as one JSON object on standard output")


def _key(parser: argparse.ArgumentParser, required: bool = True, more: str = "") -> None:
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


# -- verify --------------------------------------------------------------------------------------------------------


def _verify_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _sub(
        commands,
        "verify",
        "check that nothing was altered, left out or put in; one line a finding",
        "examples:\n"
        "  bodycam-evidence verify segments/ --trust root.pem\n"
        "  bodycam-evidence verify r0000000007-5f2c09ab-0000.tar --trust root.pem --head newest.receipt --json\n"
        "  bodycam-evidence verify r0000000007-5f2c09ab.mp4 --trust root.pem -i agency.agekey\n"
        "  bodycam-evidence verify segments/ --trust root.pem -i agency.agekey --accounts --tz Africa/Casablanca",
    )
    _paths(parser)
    _trust(parser, several=True)
    _key(
        parser,
        False,
        ": compare an exported MP4 with the sealed recording, which passes through a file in $TMPDIR; with --accounts,"
        " open what events say",
    )
    parser.add_argument(
        "--accounts",
        action="store_true",
        help="tell what the camera did with each powered second, as far as -i KEYFILE opens it; none may be missing",
    )
    _zone(parser)
    _json(parser)
    parser.set_defaults(run=_verify)


def _verify(options: argparse.Namespace) -> int:
    from agent.evidence import report as reports
    from agent.evidence.films import check_films
    from agent.evidence.ledger import accounts_of
    from agent.evidence.opening import load_identities
    from agent.evidence.rangeopen import open_ranges
    from agent.evidence.sources import collect
    from agent.evidence.trust import load_root
    from agent.evidence.verify import verify

    root, identities = load_root(options.trust), load_identities(*options.identity)
    zone = localtime.find(options.tz)
    _check_heads(options.head)
    sources = collect(options.paths)
    passes = 2 if identities else 1
    total = (1 + options.accounts) * sum(b.size for b in sources.segments) + passes * sum(
        r.blob.size for r in sources.ranges
    )
    with Meter("verifying", total) as meter:
        report = verify(sources, root, options.head, meter.add)
        report.findings += open_ranges(report.ranges, identities, meter.add) if identities else []
        films = check_films(report, sources, root, identities, meter.add)
        accounts = accounts_of(report, identities, meter.add) if options.accounts else None
    if options.json:
        print(json.dumps(reports.to_json(report, films, accounts), indent=2))
    else:
        for line in reports.lines(report, films, accounts or ()):
            print(printable(localtime.localised(line, zone)))
    return int(Exit.OK if report.verified else Exit.EVIDENCE)


class Meter:
    """Progress on a terminal's standard error; nothing elsewhere, and nothing for work of under half a second."""

    def __init__(self, doing: str, total: int) -> None:
        self._doing, self._total, self._done = doing, max(total, 1), 0
        self._shown_s = time.monotonic()
        self._live = sys.stderr.isatty()
        self._dirty = False

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._dirty:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def add(self, name: str, count: int) -> None:
        """`count` more bytes, of the file `name`."""
        self._done += count
        now = time.monotonic()
        if self._live and now - self._shown_s > 0.5:
            percent = min(100, 100 * self._done // self._total)
            print(f"\r\x1b[K{self._doing} {printable(name[:40])} {percent} %", end="", file=sys.stderr, flush=True)
            self._shown_s, self._dirty = now, True


# -- decrypt -------------------------------------------------------------------------------------------------------


def _decrypt_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _sub(
        commands,
        "decrypt",
        "write the parts of segments in the clear, and nothing that failed authentication; verify tells who signed",
        "examples:\n"
        "  bodycam-evidence decrypt r0000000007-5f2c09ab-0000.tar -i agency.agekey -o parts/\n"
        "  bodycam-evidence decrypt r0000000007-5f2c09ab.parts-20-139.proof.tar -i court.key -o parts/\n"
        "  (then: cat parts/*/init.mp4 parts/*/*.m4s > clip.mp4)",
    )
    parser.add_argument("segments", nargs="+", type=Path, metavar="SEGMENT", help="segments (*.tar), or exports")
    _key(parser)
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="directory to write below")
    _json(parser)
    parser.set_defaults(run=_decrypt)


def _decrypt(options: argparse.Namespace) -> int:
    from agent.evidence.decrypt import decrypt
    from agent.evidence.opening import load_identities
    from agent.evidence.sources import collect

    identities = load_identities(*options.identity)
    sources = collect(options.segments)
    total = sum(b.size for b in sources.segments) + sum(r.blob.size for r in sources.ranges)
    with Meter("decrypting", total) as meter:
        result = decrypt(sources.segments, identities, options.out, meter.add, sources.ranges)
    if options.json:
        print(json.dumps(result.to_json(), indent=2))
    else:
        for line in result.lines():
            print(printable(line))
    return int(Exit.EVIDENCE if result.failures else Exit.OK)


# -- export --------------------------------------------------------------------------------------------------------


def _export_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _sub(
        commands,
        "export",
        "verify, then write one playable MP4 per recording with its proof beside it; with --from or --to only those "
        "parts, and a proof that shows nothing else",
        "examples:\n"
        "  bodycam-evidence export segments/ -i agency.agekey --trust root.pem -o case-17/\n"
        "  bodycam-evidence export segments/ --recording r0000000007-5f2c09ab --from 2026-03-01T08:00:10+01:00 \\\n"
        "      --to 2026-03-01T08:01:00+01:00 -i agency.agekey --trust root.pem -o case-17/",
    )
    _paths(parser)
    parser.add_argument("--recording", metavar="ID", help="only this recording")
    parser.add_argument("--from", dest="begin", metavar="T", help="from this time (ISO 8601 with offset), whole parts")
    parser.add_argument("--to", dest="end", metavar="T", help="to this time (ISO 8601 with offset), whole parts")
    parser.add_argument(
        "--timestamp",
        type=Path,
        metavar="FILE.tsr",
        help="RFC 3161 response over a cosigned head, for the proof of a range (of all parts without --from and --to)",
    )
    parser.add_argument("--timestamp-ca", type=Path, metavar="CA.pem", help="the authority's root, to be put beside it")
    _key(parser)
    _trust(parser)
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="directory to write below")
    parser.add_argument(
        "--even-if-damaged",
        action="store_true",
        help="export what is sound of evidence that does not verify (status 1)",
    )
    _zone(parser)
    _json(parser)
    parser.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> int:
    from agent.evidence.clip import ExportOptions
    from agent.evidence.export import export
    from agent.evidence.opening import load_identities
    from agent.evidence.sources import collect
    from agent.evidence.stamp import load_stamp
    from agent.evidence.times import parse_time
    from agent.evidence.trust import load_root

    zone = localtime.find(options.tz)
    _check_heads([options.head] if options.head else [])
    begin, end = parse_time(options.begin, "--from"), parse_time(options.end, "--to")
    stamp = load_stamp(options.timestamp, options.timestamp_ca)
    wanted = ExportOptions(options.out, options.recording, begin, end, options.even_if_damaged, stamp)
    root, identities, sources = load_root(options.trust), load_identities(*options.identity), collect(options.paths)
    with Meter("exporting", 2 * sum(b.size for b in sources.segments)) as meter:
        result = export(sources, root, identities, wanted, options.head, meter.add)
    if options.json:
        print(json.dumps(result.to_json(), indent=2))
    else:
        for line in result.lines():
            print(printable(localtime.localised(line, zone)))
    return int(Exit.OK if result.report.verified and result.whole else Exit.EVIDENCE)


# -- rewrap --------------------------------------------------------------------------------------------------------


def _rewrap_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _sub(
        commands,
        "rewrap",
        "verify an export, then write its proof anew for another key, like a court's; nothing is decrypted",
        "examples:\n"
        "  bodycam-evidence rewrap case-17/r0000000007-5f2c09ab.parts-20-139.proof.tar -i agency.agekey \\\n"
        "      -r age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p --trust root.pem -o court/\n"
        "  bodycam-evidence rewrap case-17/ -i agency.agekey -R court.txt --trust root.pem -o court/",
    )
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="EXPORT", help="exports (NAME.proof.tar), or directories of them"
    )
    _key(parser)
    parser.add_argument(
        "-r", "--recipient", action="append", default=[], metavar="RECIPIENT", help="age recipient, as for `age -r`"
    )
    parser.add_argument(
        "-R", "--recipients-file", type=Path, metavar="FILE", help="age recipients, one a line, as for `age -R`"
    )
    _trust(parser, head=False)
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="directory to write below")
    _zone(parser)
    _json(parser)
    parser.set_defaults(run=_rewrap)


def _rewrap(options: argparse.Namespace) -> int:
    from agent.evidence.opening import load_identities, load_recipients
    from agent.evidence.rewrap import rewrap
    from agent.evidence.sources import collect
    from agent.evidence.trust import load_root

    zone = localtime.find(options.tz)
    recipients = load_recipients(options.recipient, options.recipients_file)
    root, identities, sources = load_root(options.trust), load_identities(*options.identity), collect(options.paths)
    total = sum(b.size for b in sources.segments) + sum(r.blob.size for r in sources.ranges)
    with Meter("rewrapping", 2 * total) as meter:
        result = rewrap(sources, root, identities, recipients, options.out, meter.add)
    if options.json:
        print(json.dumps(result.to_json(), indent=2))
    else:
        for line in result.lines():
            print(printable(localtime.localised(line, zone)))
    return int(Exit.EVIDENCE if result.refused else Exit.OK)
