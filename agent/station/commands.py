"""`bodycam-station`: arguments in, exit codes out."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent import configfile, profiles
from agent.errors import EXIT_STATUSES, AgentError, Exit, UsageError
from agent.formats.bundle import Tables
from agent.hardening import hardened
from agent.station import (
    admin,
    answers,
    exchangecommands,
    knowcommands,
    onekey,
    ordercommands,
    retention,
    revocation,
    rotation,
)
from agent.station.enrolment import Enrolled, enrol_request
from agent.station.layout import AgencyPaths

HELP_COLUMNS = 100


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    args = _parser().parse_args(argv)
    try:
        # Each of them reads or makes a key of the agency, or may.
        hardened()
        return int(args.run(args))
    except AgentError as err:
        print(f"bodycam-station: {err}", file=sys.stderr)
        return err.exit_status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bodycam-station",
        description="The agency's side of the dock: keys, enrolment, and the embedded station.",
        epilog=f"example: bodycam-station init --dir agency && bodycam-station serve --dir agency\n\n{EXIT_STATUSES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    init = commands.add_parser(
        "init",
        help="make the agency's keys",
        description="Makes what only the agency may hold: root of trust, evidence keys, receipt key and the station's "
        "certificate; and says what to lock away. Keys that are there are never written over.",
        epilog="examples:\n  bodycam-station init --dir agency --name 'City Police' --keep-days 90\n"
        "  bodycam-station init --dir agency --host station.example",
    )
    init.add_argument("--name", default="bench", help="the agency's name, as certificates show it (default: bench)")
    init.add_argument(
        "--host", nargs="+", default=list(admin.LOCAL_HOSTS), help="names and addresses cameras reach the station at"
    )
    init.add_argument(
        "--keep-days",
        type=int,
        metavar="N",
        help="write retention.toml: receipts say that recordings are kept N days, then they may be purged; without it "
        "there is no end",
    )
    init.add_argument(
        "--post-quantum",
        action="store_true",
        help="evidence keys that a quantum computer does not open either (age1pq1...); to open recordings with the "
        "stock tool then takes age 1.3 or newer",
    )
    init.set_defaults(run=_init)
    serve = commands.add_parser(
        "serve",
        help="serve the dock",
        description="The embedded station, for one desk: takes uploads from enrolled cameras over mutual TLS, checks "
        "and keeps them, and signs receipts, until SIGTERM or Ctrl-C.",
        epilog="example: bodycam-station serve --dir agency --listen 0.0.0.0:8443",
    )
    serve.add_argument("--listen", default="127.0.0.1:0", metavar="HOST:PORT", help="port 0 takes a free one (default)")
    serve.add_argument(
        "--metrics", metavar="HOST:PORT", help="answer GET /metrics there, for Prometheus: plain HTTP, off by default"
    )
    serve.set_defaults(run=_serve)
    enrol = commands.add_parser(
        "enrol",
        help="certificates for a camera",
        description="Certificates for a camera. With --csr, the request that `bodycam-agent provision` wrote there: "
        "the answer is a file for `provision --certificate`. Without it, for a bench, the keys are made here.",
        epilog="examples:\n"
        "  bodycam-station enrol --dir agency --csr cam-0001.csr --station-url https://station.example:8443\n"
        "  bodycam-station enrol --dir agency --csr cam-0001.csr --profile traffic.toml\n"
        "  bodycam-station enrol --dir agency --csr requests/ --profile traffic.toml   (a batch)\n"
        "  bodycam-station enrol --dir agency --camera bench-cam",
    )
    enrol.add_argument("--camera", metavar="ID", help="its name; with --csr, who must be asking")
    enrol.add_argument(
        "--csr", type=Path, metavar="FILE|DIR", help="a camera's request, for identity and TLS key; or all *.csr of DIR"
    )
    enrol.add_argument("--station-url", metavar="URL", help="with --csr: where it finds the station")
    enrol.add_argument(
        "--profile", metavar="NAME|FILE", help="with --csr: what the camera gets: traffic, intervention, ..."
    )
    enrol.add_argument("--identity-csr", type=Path, metavar="FILE", help="PEM; without it a key is made here")
    enrol.add_argument("--tls-csr", type=Path, metavar="FILE", help="PEM; without it a key is made here")
    enrol.set_defaults(run=_enrol)
    rotate = commands.add_parser(
        "rotate",
        help="new evidence keys for what is recorded from now on, or a new key of the station's",
        description="Makes the next agency and escrow identities, and a new answer for each camera enrolled by --csr. "
        f"The old identities are kept: what was recorded before opens with them alone.{exchangecommands.DESCRIPTION}",
        epilog=f"examples:\n  bodycam-station rotate --dir agency\n{exchangecommands.EXAMPLES}",
    )
    exchangecommands.add(rotate)
    rotate.add_argument(
        "--post-quantum", action="store_true", default=None, help="of that kind (default: of the kind they are today)"
    )
    rotate.set_defaults(run=_rotate)
    revoke = commands.add_parser(
        "revoke",
        help="trust a lost camera no further than the station saw its log",
        description="Signs up to where the logs of a camera count. The station then cosigns and receipts nothing of "
        "it; who verifies gives the file along, and is told what lies beyond. This is for ever: a camera that is found "
        "again gets another name.",
        epilog="examples:\n  bodycam-station revoke --dir agency --camera cam-0001 --reason 'lost on 3 May'\n"
        "  bodycam-evidence verify segments/ agency/trust/revoked/cam-0001.revocation --trust root.pem",
    )
    revoke.add_argument("--camera", required=True, metavar="ID")
    revoke.add_argument("--reason", required=True, metavar="TEXT", help="why, in a few words")
    revoke.set_defaults(run=_revoke)
    for command in (init, serve, enrol, rotate, revoke, *ordercommands.add(commands), *knowcommands.add(commands)):
        command.add_argument("--dir", type=Path, required=True, help="the agency's directory")
        command.add_argument("--json", action="store_true", help="report as JSON")
        command.formatter_class = argparse.RawDescriptionHelpFormatter
        command.description = textwrap.fill(command.description or "", HELP_COLUMNS)
        command.epilog = f"{command.epilog}\n\n{EXIT_STATUSES}"
    return parser


def _init(args: argparse.Namespace) -> int:
    if args.keep_days is not None:
        retention.check_days(args.keep_days)
        retention.refuse_existing(AgencyPaths(args.dir))
    paths = admin.init(args.dir, args.name, args.host, args.post_quantum)
    if args.keep_days is not None:
        retention.begin(paths, args.keep_days)
    keys = [str(p) for p in (paths.root_key, paths.agency_identity, paths.escrow_identity)]
    if args.json:
        told = {"trust": str(paths.trust_root), "recipients": str(paths.recipients), "lock_away": keys}
        print(json.dumps(told | {"keep_days": args.keep_days}))
    else:
        print(f"Made the keys of {args.name} in {args.dir}.\n{admin.lock_away(paths)}")
        if not paths.retention.exists():
            print(retention.ENDLESS)
        elif args.keep_days:
            print(f"Kept: {args.keep_days} days, by {paths.retention}.")
    return Exit.OK


def _serve(args: argparse.Namespace) -> int:
    # Here, so that `init` and `enrol` need no web server.
    from agent.station.serve import serve

    host, port = _address(args.listen, "--listen")
    serve(args.dir, host, port, args.json, _address(args.metrics, "--metrics") if args.metrics else None)
    return Exit.OK


def _address(text: str, option: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise UsageError(f"{option} {text!r} is not HOST:PORT", "for example 127.0.0.1:8443")
    return host.strip("[]"), int(port)


def _enrol(args: argparse.Namespace) -> int:
    if args.csr is not None:
        return _enrol_request(args)
    if args.camera is None:
        raise UsageError("who is to be enrolled?", "give --csr FILE, or --camera ID for keys that are made here")
    camera = admin.enrol(args.dir, args.camera, _read(args.identity_csr), _read(args.tls_csr))
    if args.json:
        told = {"camera": args.camera, "identity": str(camera.identity_chain), "tls": str(camera.tls_chain)}
        print(json.dumps(told))
    else:
        trust = AgencyPaths(args.dir)
        print(f"Enrolled {args.camera}: install {camera.directory} on the camera, with {trust.trust_root} to trust.")
    return Exit.OK


def _enrol_request(args: argparse.Namespace) -> int:
    if args.identity_csr or args.tls_csr:
        raise UsageError("--csr holds both requests", "leave out --identity-csr and --tls-csr")
    profile = None if args.profile is None else configfile.tables(profiles.read(args.profile))
    if args.csr.is_dir():
        return _enrol_batch(args, profile)
    done = enrol_request(args.dir, _read(args.csr) or b"", args.camera, args.station_url, profile)
    told = _told(done)
    if args.json:
        print(json.dumps(told))
    else:
        print(
            f"Enrolled {done.camera}{' again' if done.again else ''}.\n"
            f"  its identity key   {done.fingerprint}   (compare with what the camera told)\n"
            f"  the answer         {done.answer}\n"
            f"  its SHA-256        {told['bundle_sha256']}   (compare on the camera)\n"
            f"On the camera: {answers.command(done.answer.name, told['bundle_sha256'])}"
        )
    return Exit.OK


def _enrol_batch(args: argparse.Namespace, profile: Tables | None) -> int:
    """Each request of a directory. One that is refused is named and stops no other; the status is that of the last."""
    if args.camera is not None:
        raise UsageError("--camera names one, and a directory holds many", "leave out --camera, or name one request")
    requests = sorted(args.csr.glob("*.csr"))
    if not requests:
        raise UsageError(f"no request (*.csr) in {args.csr}", "each camera writes its own: bodycam-agent provision")
    with onekey.alone(AgencyPaths(args.dir)) as taken:
        enrolled, refused, status = _enrol_each(args, profile, requests, taken)
    batch = answers.write_list(args.csr / answers.LIST, enrolled) if enrolled else {}
    if args.json:
        print(json.dumps({"enrolled": enrolled, "refused": refused, **batch}))
    else:
        print(f"{len(enrolled)} enrolled, {len(refused)} refused. Compare each line with what its camera tells.")
        if batch:
            print(answers.said_of_list(batch))
    return status


def _enrol_each(
    args: argparse.Namespace, profile: Tables | None, requests: Sequence[Path], taken: onekey.Taken
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], Exit]:
    """What was enrolled, what was refused, and the status."""
    enrolled, refused, status = list[dict[str, Any]](), list[dict[str, Any]](), Exit.OK
    for path in requests:
        try:
            done = enrol_request(args.dir, _carried(path), None, args.station_url, profile, taken)
        except AgentError as err:
            refused.append({"csr": str(path), "error": err.message, "next": err.hint})
            status = err.exit_status
            print(f"{path}: {err}", file=sys.stderr)
            continue
        enrolled.append(_told(done))
        if not args.json:
            told = enrolled[-1]
            print(f"{told['camera']}  identity {told['identity_fingerprint']}  answer {told['bundle_sha256']}")
            print(f"  {told['bundle']}{' (again)' if told['again'] else ''}")
    return enrolled, refused, status


def _carried(path: Path) -> bytes:
    """Of a batch. A pipe of such a name is waited for no more than a directory is read."""
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is not a regular file", "move it out of the requests")
    return _read(path) or b""


def _told(done: Enrolled) -> dict[str, Any]:
    told = answers.told(done.camera, done.answer)
    return told | {"identity_fingerprint": done.fingerprint, "again": done.again}


def _rotate(args: argparse.Namespace) -> int:
    if exchangecommands.asked(args):
        return exchangecommands.run(args)
    done, paths = rotation.rotate(args.dir, args.post_quantum), AgencyPaths(args.dir)
    if args.json:
        told = {
            "generation": done.generation,
            "identities": [str(path) for path in done.identities],
            "recipients": list(done.recipients),
            "renewed": list(done.renewed),
            "others": list(done.others),
            "ordered": list(done.ordered),
        }
        answers.print_json(paths, told)
        return Exit.OK
    print(
        f"Made evidence keys number {done.generation}. Lock away, off this machine, and delete here:\n"
        + "".join(f"  {path}\n" for path in done.identities)
        + "Keep the old ones as well: what was recorded before opens with them alone."
    )
    for name in done.ordered:
        print(f"  {name}: takes them when it is next docked")
    for line in answers.said(answers.to_install(paths, done.renewed, done.ordered)):
        print(line)
    for name in set(done.others) - set(done.ordered):
        print(f"  {name}: set sealing.recipients to {paths.recipients}")
    print("Until a camera has its new recipients, and its recorder was started anew, it seals to the old ones.")
    return Exit.OK


def _revoke(args: argparse.Namespace) -> int:
    done = revocation.revoke(args.dir, args.camera, args.reason)
    if args.json:
        logs = [{"origin": log.origin, "size": log.size} for log in done.logs]
        print(json.dumps({"camera": done.camera, "file": str(done.file), "logs": logs, "again": done.again}))
        return Exit.OK
    print(f"{done.camera} was revoked before; that stands." if done.again else f"Revoked {done.camera}.")
    for log in done.logs:
        print(f"  of {log.origin} the first {log.size} leaves count")
    if not done.logs:
        print("  nothing of it counts: this station never cosigned its log")
    print(f"Give {done.file} to whoever verifies evidence, beside the segments.")
    return Exit.OK


def _read(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as err:
        raise UsageError(f"cannot read {path}: {err.strerror}", "name a CSR in PEM") from err
