"""`bodycam-station index`, `find`, `hold`, `purge`, `open` and `status`: arguments in, exit status out."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agent import localtime
from agent.errors import AgentError, Exit, UsageError, printable
from agent.station import keeping, leftover, moments, opening, overview, retention, telling
from agent.station.access import AccessLog
from agent.station.index import Index
from agent.station.keptheads import KeptHeads
from agent.station.knowledge import Knowledge, Recording, cameras, parse_utc
from agent.station.layout import AgencyPaths
from agent.station.purgenotes import PurgeNotes
from agent.station.reindex import Reindexer
from agent.station.state import State

_ISO = "ISO 8601 with the offset from UTC"


@dataclass(frozen=True)
class _Here:
    """One agency's directory, opened."""

    paths: AgencyPaths
    index: Index
    state: State
    log: AccessLog

    def knowledge(self) -> Knowledge:
        return Knowledge(self.paths, self.index, self.state)


@contextmanager
def _here(root: Path) -> Iterator[_Here]:
    paths = AgencyPaths(root)
    if not paths.state.exists():
        if paths.trust_root.exists():
            raise UsageError(f"the station in {root} has not served yet", "bodycam-station serve --dir DIR, then dock")
        raise UsageError(f"{root} is no agency's directory", "name it with --dir")
    index, state = Index(paths.index), State(paths.state)
    try:
        yield _Here(paths, index, state, AccessLog(paths.access))
    finally:
        index.close()
        state.close()


def add(commands: Any) -> list[argparse.ArgumentParser]:
    """The parsers."""
    made = [_index(commands), _find(commands), _hold(commands), _purge(commands), _open(commands), _status(commands)]
    for parser in made:
        parser.add_argument(
            "--tz",
            metavar="ZONE",
            help="show times in this zone, like Africa/Casablanca or UTC (default: this machine's)",
        )
    return made


# -- parsers -------------------------------------------------------------------------------------------------------


def _index(commands: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        "index",
        help="look through what is stored and not known yet; with a key, also at marks and assignments",
        description="The station indexes what it receives by itself. This adds what lacks, and with the agency's key "
        "opens events, so that recordings are found by tag, mark and officer. What was opened stays in the index, in "
        "the clear; the access log says who did it, with which keys, and names every recording and segment.",
        epilog="examples:\n  bodycam-station index --dir agency\n"
        "  bodycam-station index --dir agency -i agency.agekey --reason 'weekly index'",
    )
    _key(parser, required=False)
    parser.add_argument("--reason", metavar="TEXT", help="with -i: why, for the access log")
    parser.set_defaults(run=_run_index)
    return parser


def _find(commands: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        "find",
        help="recordings by camera, officer, unit, time, tag and the words of a mark",
        description="Lists recordings. Officer and unit come from the log where that was opened (index -i) from the "
        "assignment to the second segment behind the recording, else from the agency's own orders, and it says which. "
        "Tags and marks are known only where events were opened. What was recorded by a clock that nobody vouches for "
        "may have been at any time: --from and --to leave none of it out, and by order nobody is named.",
        epilog="examples:\n"
        "  bodycam-station find --dir agency --unit 'Traffic 2' --from 2026-05-03T08:00+01:00 --tag arrest\n"
        "  bodycam-station find --dir agency --mark 'red car'",
    )
    parser.add_argument("--mark", metavar="TEXT", help="with these words in a mark, in capitals or not")
    for name in ("camera", "officer", "unit", "tag"):
        parser.add_argument(f"--{name}", metavar="TEXT")
    parser.add_argument("--from", dest="begin", metavar="TIME", help=f"that end after this time ({_ISO})")
    parser.add_argument("--to", dest="end", metavar="TIME", help=f"that begin before this time ({_ISO})")
    parser.set_defaults(run=_run_find)
    return parser


def _hold(commands: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        "hold",
        help="keep a recording, whatever its days",
        description="A recording that is held is not purged, until the hold ends or is released.",
        epilog="examples:\n"
        "  bodycam-station hold r0000000007-5f2c09ab --dir agency --until 2027-05-03T00:00+01:00 --reason 'case 17'\n"
        "  bodycam-station hold r0000000007-5f2c09ab --dir agency --release --reason 'case 17 is closed'",
    )
    _recording(parser)
    until = parser.add_mutually_exclusive_group(required=True)
    until.add_argument("--until", metavar="TIME", help=f"{_ISO}, or never")
    until.add_argument("--release", action="store_true", help="hold it no longer")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why, for the access log")
    parser.set_defaults(run=_run_hold)
    return parser


def _purge(commands: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        "purge",
        help="say which recordings may go, and with --yes delete them",
        description="By the days in retention.toml of the agency's directory. Nothing goes that is held, that is not "
        "whole, or before the end that its receipts name. Without --yes nothing is changed. Of a camera with a receipt "
        "that cannot be read nothing goes; exit status 1 then. Where one recording cannot be deleted, the others "
        "go, and are told before the error.",
        epilog=f"example: bodycam-station purge --dir agency\n\nretention.toml: {retention.EXAMPLE}",
    )
    parser.add_argument("--yes", action="store_true", help="delete them")
    parser.set_defaults(run=_run_purge)
    return parser


def _open(commands: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        "open",
        help="verify and export a recording with the agency's key; the access log says so first",
        description="As `bodycam-evidence export`, of what the station stores: one playable MP4 with its proof. Who, "
        "when and why is in the access log before anything is opened.",
        epilog="example: bodycam-station open r0000000007-5f2c09ab --dir agency -i agency.agekey --reason 'case 17' "
        "-o case-17",
    )
    _recording(parser)
    _key(parser, required=True)
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why, for the access log")
    parser.add_argument("--from", dest="begin", metavar="TIME", help="only from this time on, whole parts (ISO 8601)")
    parser.add_argument("--to", dest="end", metavar="TIME", help="only up to this time, whole parts (ISO 8601)")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="directory to write below")
    parser.set_defaults(run=_run_open)
    return parser


def _status(commands: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        "status",
        help="how everything stands: what is stored, what each camera owes, whether the access log holds",
        description="What a camera owes is what it announced under its signature and the station never had. Exit "
        "status 1 where the access log does not hold, 2 where retention.toml cannot be read.",
        epilog="example: bodycam-station status --dir agency --json",
    )
    parser.add_argument("--access", action="store_true", help="the lines of the access log as well")
    parser.add_argument(
        "--left-over",
        action="store_true",
        help="what is stored for its bytes alone, or that no receipt names, file by file: never purged",
    )
    parser.set_defaults(run=_run_status)
    return parser


def _key(parser: argparse.ArgumentParser, required: bool) -> None:
    parser.add_argument(
        "-i", "--identity", type=Path, action="append", default=[], required=required, metavar="KEYFILE",
        help="age identity file of the agency; once for each key",
    )  # fmt: skip


def _recording(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recording", metavar="RECORDING")
    parser.add_argument("--camera", metavar="ID", help="where two cameras have one of this name")


# -- commands ------------------------------------------------------------------------------------------------------


def _run_index(args: argparse.Namespace) -> int:
    with _here(args.dir) as here:
        indexer = Reindexer(here.paths, here.index, here.state)
        done = indexer.build()
        if args.identity:
            opening.read_events(indexer, here.log, args.identity, args.reason or "", done)
    told = {"added": done.added, "opened": done.opened, "problems": done.problems}
    lines = [f"{done.added} segments added, {done.opened} opened", *done.problems]
    _tell(args, told, lines)
    return Exit.EVIDENCE if done.problems else Exit.OK


def _run_find(args: argparse.Namespace) -> int:
    begin, end = moments.parse(args.begin, "--from"), moments.parse(args.end, "--to")
    with _here(args.dir) as here:
        knowledge = here.knowledge()
        fit = [one for one in knowledge.recordings(args.camera) if _fits(one, args, begin, end)]
    found = [one for one in fit if _is_worn_by(one, args)]
    unknown = sum(one.who_by is None and not _is_worn_by(one, args) for one in fit)
    told = {"recordings": [one.to_json() for one in found], "unknown": unknown, "problems": knowledge.problems}
    lines = [telling.recording(one) for one in found] or ["none"]
    _tell(args, told, [*lines, *telling.unknown(unknown), *telling.unread(knowledge)])
    return Exit.OK


def _is_worn_by(one: Recording, args: argparse.Namespace) -> bool:
    return args.officer in (None, one.officer) and args.unit in (None, one.unit)


def _fits(one: Recording, args: argparse.Namespace, begin: float | None, end: float | None) -> bool:
    """Whoever wore it."""
    if args.tag is not None and args.tag not in one.tags:
        return False
    if args.mark is not None and not any(args.mark.casefold() in mark.text.casefold() for mark in one.marks):
        return False
    # One whose camera knew no date, or none that anybody vouches for, may have been then.
    first, last = (parse_utc(one.begins), parse_utc(one.ends)) if one.vouched else (None, None)
    return not (begin and last is not None and last < begin) and not (end and first is not None and first > end)


def _run_hold(args: argparse.Namespace) -> int:
    with _here(args.dir) as here, retention.alone(here.paths):
        knowledge = here.knowledge()
        one = knowledge.one(args.recording, args.camera)
        if args.release:
            here.log.append("release", one.camera, one.recording, args.reason)
            was = retention.release(here.paths, one.camera, one.recording)
            lines = [f"{one.recording} is " + ("held no longer" if was else "not held"), *telling.unread(knowledge)]
            _tell(args, {"released": was, "problems": knowledge.problems}, lines)
            return Exit.OK
        _check_stored(one, args.tz)
        until = 0.0 if args.until == "never" else moments.parse(args.until, "--until")
        hold = retention.Hold(int(until or 0), args.reason)
        if not hold.stands(time.time()):
            raise UsageError(f"--until {args.until[:40]} is over", "name a time to come, or never")
        here.log.append("hold", one.camera, one.recording, args.reason, until=hold.until_s)
        retention.put_hold(here.paths, one.camera, one.recording, hold)
        end = moments.utc(hold.until_s) if hold.until_s else "further notice"
        told = {"until": hold.until_s, "problems": knowledge.problems}
        _tell(args, told, [f"{one.recording} is held until {end}", *telling.unread(knowledge)])
    return Exit.OK


def _check_stored(one: Recording, zone: str | None) -> None:
    """Raises UsageError for one that is gone."""
    if one.purged_s:
        said = f"{one.recording} was purged on {moments.utc(one.purged_s)}"
        hint = f"see the access log for why, and its signed note in station/purges/{one.camera}"
        if one.lost_segments == one.segments:
            said = f"{one.recording} was gone before its days were over"
            hint = "see the access log: `bodycam-station status --access`"
        elif one.unexplained_segments and one.lost_segments + one.unexplained_segments == one.segments:
            said = f"{one.recording} is gone, and no note says how"
            hint = (
                f"see the access log; put its note, if a backup has one, into station/purges/{one.camera}, then `index`"
            )
        raise UsageError(localtime.localised(said, localtime.find(zone)), hint)


def _run_purge(args: argparse.Namespace) -> int:
    now = time.time()
    error: AgentError | None = None
    with _here(args.dir) as here:
        indexer = Reindexer(here.paths, here.index, here.state)
        unknown = indexer.extend()
        knowledge = here.knowledge()
        known, noted = knowledge.recordings(), list[Recording]()
        due = keeping.due(knowledge, known, now, unknown)
        if args.yes:
            due, noted, error = _purge_now(here, knowledge, indexer, unknown, known, due)
    said = {
        "due": [[one.camera, one.recording] for one in due.go],
        "purged": [[one.camera, one.recording] for one in due.go if args.yes],
        "noted": [[one.camera, one.recording] for one in noted],
        "kept": [[one.camera, one.recording, why] for one, why in due.kept],
        "failed": [[one.camera, one.recording, err.message] for one, err in due.failed],
        "problems": [*unknown.values(), *knowledge.problems],
    }
    lines = [f"{'purged' if args.yes else 'would go'}: {telling.recording(one)}" for one in due.go]
    lines += [f"purged before, and has a signed note now: {one.camera} {one.recording}" for one in noted]
    lines += [f"kept: {one.camera} {one.recording}: {why}" for one, why in due.kept]
    lines += [telling.not_purged(one, err) for one, err in due.failed]
    if due.go and not args.yes:
        lines.append("Nothing was changed: --yes deletes what would go.")
    lines += [*(f"nothing goes of {why}" for why in unknown.values()), *telling.unread(knowledge)]
    _tell(args, said, lines or ["nothing is due"])
    if error:
        # What went is told first: it is gone.
        raise error
    return Exit.EVIDENCE if unknown else Exit.OK


def _purge_now(
    here: _Here,
    knowledge: Knowledge,
    indexer: Reindexer,
    unknown: dict[str, str],
    known: Sequence[Recording],
    due: keeping.Due,
) -> tuple[keeping.Due, list[Recording], AgentError | None]:
    """What went, what has a note from now on, and the first of what failed. `unknown` learns of what a camera's
    receipts say meanwhile.
    """

    def hear(camera: str) -> str | None:
        if why := indexer.hear(camera):
            unknown[camera] = why
        return why

    notes = PurgeNotes(here.paths, here.state)
    told = keeping.Told(notes, KeptHeads(here.paths, here.state, here.index))
    done = keeping.purge(here.paths, here.index, told, here.log, due, keeping.Look(knowledge, hear, time.time))
    error = next((err for _, err in done.failed), None)
    try:
        return done, keeping.note_earlier(here.index, notes, known), error
    except AgentError as err:
        return done, [], error or err


def _run_open(args: argparse.Namespace) -> int:
    begin, end = opening.moment(args.begin, "--from"), opening.moment(args.end, "--to")
    with _here(args.dir) as here:
        one = here.knowledge().one(args.recording, args.camera)
        _check_stored(one, args.tz)
        wanted = opening.Wanted(one.camera, one.recording, args.out, begin, end)
        told, lines, good = opening.export(here.paths, here.index, here.log, wanted, args.identity, args.reason)
    _tell(args, told, lines)
    return Exit.OK if good else Exit.EVIDENCE


def _run_status(args: argparse.Namespace) -> int:
    with _here(args.dir) as here:
        found = overview.look(here.paths, here.index, here.state)
        lines = [*here.log.lines()] if args.access and not found.access_problem else []
        asked = cameras(here.paths) if args.left_over else []
        left = [one for name in asked for one in leftover.left_over(here.paths, here.index, name)]
    told = found.to_json() | ({"access": [json.loads(line.to_bytes()) for line in lines]} if args.access else {})
    told |= {"left_over": [asdict(one) for one in left]} if args.left_over else {}
    _tell(
        args, told, [*telling.status(found), *map(telling.left_over, left), *(telling.access(line) for line in lines)]
    )
    if found.access_problem is not None:
        return Exit.EVIDENCE
    return Exit.OK if found.retention_problem is None else Exit.USAGE


def _tell(args: argparse.Namespace, told: dict[str, Any], lines: Any) -> None:
    if args.json:
        print(json.dumps(told, indent=2))
    else:
        zone = localtime.find(args.tz)
        for line in lines:
            print(printable(localtime.localised(line, zone)))
    sys.stdout.flush()
