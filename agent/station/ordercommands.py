"""`bodycam-station assign`, `configure` and `tags`: arguments in, exit status out."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from agent.errors import Exit, UsageError
from agent.formats.order import ALL_CAMERAS
from agent.station import moments, orders
from agent.station.layout import AgencyPaths

_DAY_S = 86_400


def add(commands: Any) -> list[argparse.ArgumentParser]:
    """The three parsers."""
    return [_assign_parser(commands), _configure_parser(commands), _tags_parser(commands)]


def _assign_parser(commands: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        "assign",
        help="say who wears a camera",
        description="Signs an assignment, which the camera takes when it is next docked, writes into its log (sealed), "
        "and shows until the next one. An officer is named as the agency names people in evidence: a service number "
        "serves.",
        epilog="examples:\n"
        "  bodycam-station assign cam-0001 --dir agency --officer 'no. 4711' --unit 'Traffic 2' --hours 8\n"
        "  bodycam-station assign cam-0001 --dir agency --nobody",
    )
    parser.add_argument("camera", metavar="CAMERA")
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--officer", metavar="TEXT", help="who wears it from now on")
    who.add_argument("--nobody", action="store_true", help="nobody wears it")
    parser.add_argument("--unit", metavar="TEXT", help="of which unit; the picture shows it")
    parser.add_argument("--shift", metavar="TEXT", help="for which shift")
    until = parser.add_mutually_exclusive_group()
    until.add_argument("--hours", type=float, metavar="N", help="the shift ends in so many hours")
    until.add_argument("--until", metavar="TIME", help="it ends then: 2026-05-03T14:00+01:00, with the offset from UTC")
    parser.set_defaults(run=_assign)
    return parser


def _configure_parser(commands: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        "configure",
        help="give a camera another configuration",
        description="Checks and signs a whole agent.toml. The camera takes it when it is next docked, keeps its own "
        "keys, paths and name, and starts anew with it outside a recording. An older one is never taken again. The "
        "agency's own keys (recipients, receipt key, configuration key) are those of today, whatever the file says.",
        epilog="example: bodycam-station configure cam-0001 cam-0001.toml --dir agency --profile traffic",
    )
    parser.add_argument("camera", metavar="CAMERA")
    parser.add_argument("file", type=Path, metavar="FILE", help="the camera's agent.toml, with every required key")
    parser.add_argument("--profile", metavar="NAME|FILE", help="laid over it: traffic, intervention, ...")
    parser.set_defaults(run=_configure)
    return parser


def _tags_parser(commands: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        "tags",
        help="give all cameras a list of tags for marks",
        description="Signs the list of tags that marks may have. Every camera takes it when it is next docked. FILE is "
        "TOML: for each tag a table named by its id, with its word in ar, fr and en.",
        epilog="example: bodycam-station tags tags.toml --dir agency\n\n"
        'tags.toml:\n  [arrest]\n  ar = "توقيف"\n  fr = "arrestation"\n  en = "arrest"',
    )
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.set_defaults(run=_tags)
    return parser


def _assign(args: argparse.Namespace) -> int:
    until_s = _until(args.hours, args.until)
    if not args.nobody and not args.officer.strip():
        # An empty variable of a script must not say that nobody wears it.
        raise UsageError("--officer is empty", "name who wears the camera; for nobody: --nobody")
    body = orders.assignment(None if args.nobody else args.officer, args.unit, args.shift, until_s)
    # A camera that is docked after the end of the shift must not be told that it begins.
    valid_s = until_s - int(time.time()) if until_s else _DAY_S
    return _told(args, orders.give(args.dir, args.camera, body, valid_s))


def _until(hours: float | None, text: str | None) -> int:
    """POSIX seconds; 0 for neither."""
    now = time.time()
    if hours is not None:
        if not 0 < hours <= 24 * 31:
            raise UsageError(f"--hours {hours:g} is no length of a shift", "up to a month")
        return int(now + hours * 3600)
    if text is None:
        return 0
    found = int(moments.parse(text, "--until") or 0)
    if found <= now:
        raise UsageError(f"--until {text[:40]} is over", "name a time to come")
    return found


def _configure(args: argparse.Namespace) -> int:
    paths = AgencyPaths(args.dir)
    # The keys of today that go into it are still those of today when it is given.
    with orders.alone(paths.orders):
        body = orders.read_configuration(paths, args.file, args.camera, args.profile)
        given = orders.give_alone(paths, args.camera, body)
    return _told(args, given)


def _tags(args: argparse.Namespace) -> int:
    return _told(args, orders.give(args.dir, ALL_CAMERAS, orders.read_tags(args.file)))


def _told(args: argparse.Namespace, given: orders.Given) -> int:
    order = given.order
    if args.json:
        told = {"kind": order.kind.value, "camera": order.camera, "number": order.number, "expires": order.expires_s}
        print(json.dumps({**told, "file": str(given.file)}))
        return Exit.OK
    who = "every camera" if order.camera == ALL_CAMERAS else order.camera
    print(f"Signed {order.kind.value} number {order.number}: {who} takes it when it is next docked.")
    return Exit.OK
