"""`bodycam-evidence`: verify, decrypt, export, proofs, rewrap."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from agent import __version__, localtime
from agent.errors import AgentError, Exit, StorageError, printable
from agent.evidence import arguments
from agent.evidence.meter import Meter


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


def _ended(status: Exit, locked: AgentError | None) -> int:
    """After all is said: what the keys given did not open, too."""
    if locked is not None:
        _told(locked)
    return int(status)


class _Result(Protocol):
    """What a command did: in lines for people, and for programs."""

    def lines(self) -> Iterable[str]: ...
    def to_json(self) -> dict[str, Any]: ...


def _print(options: argparse.Namespace, result: _Result, shown: Callable[[str], str] = str) -> None:
    """As it is asked for; each line as `shown` makes it."""
    if options.json:
        print(json.dumps(result.to_json(), indent=2))
    else:
        for line in result.lines():
            print(printable(shown(line)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bodycam-evidence",
        description="Check, open, export and hand on what a camera recorded. Read-only, on any PC.",
        epilog="example: bodycam-evidence verify segments/ --trust root.pem\n\n" + arguments.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"bodycam-evidence {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _verify_parser(commands)
    _decrypt_parser(commands)
    _export_parser(commands)
    _proofs_parser(commands)
    _rewrap_parser(commands)
    return parser


# -- verify --------------------------------------------------------------------------------------------------------


def _verify_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = arguments.sub(
        commands,
        "verify",
        "check that nothing was altered, left out or put in; one line a finding",
        "examples:\n"
        "  bodycam-evidence verify segments/ --trust root.pem\n"
        "  bodycam-evidence verify r0000000007-5f2c09ab-0000.tar --trust root.pem --head newest.receipt --json\n"
        "  bodycam-evidence verify r0000000007-5f2c09ab.mp4 --trust root.pem -i agency.agekey\n"
        "  bodycam-evidence verify segments/ --trust root.pem -i agency.agekey --accounts --tz Africa/Casablanca",
    )
    arguments.paths(parser)
    arguments.trust(parser, several=True)
    arguments.key(
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
    arguments.zone(parser)
    arguments.as_json(parser)
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
    arguments.check_heads(options.head)
    sources = collect(options.paths)
    passes = 2 if identities else 1
    total = (1 + options.accounts) * sum(b.size for b in sources.segments) + passes * sum(
        r.blob.size for r in sources.ranges
    )
    with Meter("verifying", total) as meter:
        report = verify(sources, root, options.head, meter.add)
        report.findings += open_ranges(report, identities, meter.add) if identities else []
        films = check_films(report, sources, root, identities, meter.add)
        accounts = accounts_of(report, identities, meter.add) if options.accounts else None
    if options.json:
        print(json.dumps(reports.to_json(report, films, accounts), indent=2))
    else:
        for line in reports.lines(report, films, accounts or ()):
            print(printable(localtime.localised(line, zone)))
    return _ended(report.exit_status, report.locked)


# -- decrypt -------------------------------------------------------------------------------------------------------


def _decrypt_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = arguments.sub(
        commands,
        "decrypt",
        "write the parts of segments in the clear, and nothing that failed authentication; verify tells who signed",
        "examples:\n"
        "  bodycam-evidence decrypt r0000000007-5f2c09ab-0000.tar -i agency.agekey -o parts/\n"
        "  bodycam-evidence decrypt r0000000007-5f2c09ab.parts-20-139.proof.tar -i court.key -o parts/\n"
        "  (then: cat parts/*/init.mp4 parts/*/*.m4s > clip.mp4)",
    )
    parser.add_argument("segments", nargs="+", type=Path, metavar="SEGMENT", help="segments (*.tar), or exports")
    arguments.key(parser)
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="directory to write below")
    arguments.as_json(parser)
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
    result.failures += sources.broken_exports
    result.failures += [f"{path.name}: it cannot be read: {why}" for path, why in sources.unread.items()]
    result.failures += [f"{path}: this directory cannot be listed" for path in sources.unlisted]
    result.all_read = result.all_read and not sources.unread and not sources.unlisted
    result.notes += [sources.passed_over] if sources.passed else []
    _print(options, result)
    return int(result.exit_status)


# -- export --------------------------------------------------------------------------------------------------------


def _export_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = arguments.sub(
        commands,
        "export",
        "verify, then write one playable MP4 per recording with its proof beside it; with --from or --to only those "
        "parts, and a proof that shows nothing else",
        "examples:\n"
        "  bodycam-evidence export segments/ -i agency.agekey --trust root.pem -o case-17/\n"
        "  bodycam-evidence export segments/ --recording r0000000007-5f2c09ab --from 2026-03-01T08:00:10+01:00 \\\n"
        "      --to 2026-03-01T08:01:00+01:00 -i agency.agekey --trust root.pem -o case-17/",
    )
    arguments.paths(parser)
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
    arguments.key(parser)
    arguments.trust(parser)
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="directory to write below")
    parser.add_argument(
        "--even-if-damaged",
        action="store_true",
        help="export what is sound of evidence that does not verify (status 1)",
    )
    arguments.zone(parser)
    arguments.as_json(parser)
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
    arguments.check_heads([options.head] if options.head else [])
    begin, end = parse_time(options.begin, "--from"), parse_time(options.end, "--to")
    stamp = load_stamp(options.timestamp, options.timestamp_ca)
    wanted = ExportOptions(options.out, options.recording, begin, end, options.even_if_damaged, stamp)
    root, identities, sources = load_root(options.trust), load_identities(*options.identity), collect(options.paths)
    with Meter("exporting", 2 * sum(b.size for b in sources.segments)) as meter:
        result = export(sources, root, identities, wanted, options.head, meter.add)
    _print(options, result, partial(localtime.localised, zone=zone))
    return _ended(result.exit_status, result.locked)


# -- proofs --------------------------------------------------------------------------------------------------------


def _proofs_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = arguments.sub(
        commands,
        "proofs",
        "verify, then write each leaf of a whole recording with its inclusion in the signed head (C2SP tlog-proof); no "
        "key is needed",
        "examples:\n"
        "  bodycam-evidence proofs case-17/r0000000007-5f2c09ab.proof.tar --trust root.pem -o leaves/\n"
        "  bodycam-evidence proofs case-17/ --recording r0000000007-5f2c09ab --leaf 7 --leaf 8 --trust root.pem \\\n"
        "      -o leaves/",
    )
    arguments.paths(parser)
    parser.add_argument("--recording", metavar="ID", help="only this recording")
    parser.add_argument(
        "--leaf",
        type=int,
        action="append",
        default=[],
        metavar="N",
        help="only this leaf, by its log index; once for each",
    )
    arguments.trust(parser)
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="directory to write below")
    arguments.zone(parser)
    arguments.as_json(parser)
    parser.set_defaults(run=_proofs, identity=[])


def _proofs(options: argparse.Namespace) -> int:
    from agent.evidence.leafproofs import write_proofs
    from agent.evidence.sources import collect
    from agent.evidence.trust import load_root

    zone = localtime.find(options.tz)
    arguments.check_heads([options.head] if options.head else [])
    root, sources = load_root(options.trust), collect(options.paths)
    with Meter("verifying", sum(b.size for b in sources.segments)) as meter:
        asked = (options.recording, frozenset(options.leaf))
        result = write_proofs(sources, root, options.out, *asked, options.head, meter.add)
    _print(options, result, partial(localtime.localised, zone=zone))
    return int(result.report.exit_status)


# -- rewrap --------------------------------------------------------------------------------------------------------


def _rewrap_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = arguments.sub(
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
    arguments.key(parser)
    parser.add_argument(
        "-r", "--recipient", action="append", default=[], metavar="RECIPIENT", help="age recipient, as for `age -r`"
    )
    parser.add_argument(
        "-R", "--recipients-file", type=Path, metavar="FILE", help="age recipients, one a line, as for `age -R`"
    )
    arguments.trust(parser, head=False)
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="directory to write below")
    arguments.zone(parser)
    arguments.as_json(parser)
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
    _print(options, result, partial(localtime.localised, zone=zone))
    return _ended(result.exit_status, result.locked)
