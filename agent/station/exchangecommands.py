"""`bodycam-station rotate --receipts` and `--orders`: arguments in, exit status out."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from agent.errors import Exit, UsageError
from agent.station import answers, exchange
from agent.station.exchange import Told, Which
from agent.station.layout import AgencyPaths

DESCRIPTION = (
    " With --receipts or --orders it is the station's own key that is exchanged, which cameras pin: the successor is "
    "made, and each camera is told at its dock to believe both; `status` says which have not. Once all have, --retire "
    "puts it in the old one's place. What was cut is finished by the same command again."
)
EXAMPLES = (
    "  bodycam-station rotate --dir agency --receipts            the next receipt key; cameras take it at the dock\n"
    "  bodycam-station status --dir agency                       says which cameras have not taken it\n"
    "  bodycam-station rotate --dir agency --receipts --retire   while the station is stopped: the old one is over\n"
    "  bodycam-station rotate --dir agency --orders              the same for the key that signs orders"
)


def add(parser: argparse.ArgumentParser) -> None:
    """The options of `rotate`."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--receipts", action="store_true", help="the key that signs receipts, heads and the time")
    which.add_argument("--orders", action="store_true", help="the key that signs orders")
    parser.add_argument("--retire", action="store_true", help="with one of them: let the old key count no more")
    parser.add_argument(
        "--anyway", action="store_true", help="with --retire: also where cameras do not pin the next key yet"
    )


def asked(args: argparse.Namespace) -> bool:
    """Whether it is a key of the station that is to be exchanged. Raises UsageError."""
    if args.receipts or args.orders:
        if args.post_quantum:
            raise UsageError("--post-quantum is about evidence keys", "leave it out, or leave out --receipts, --orders")
        if args.anyway and not args.retire:
            raise UsageError("--anyway is about --retire", "leave it out, or say --retire")
        return True
    if args.retire or args.anyway:
        raise UsageError("which key is to be retired?", "add --receipts or --orders; old evidence keys are kept")
    return False


def run(args: argparse.Namespace) -> int:
    """Raises what exchange raises."""
    which = Which.RECEIPTS if args.receipts else Which.ORDERS
    done = exchange.retire(args.dir, which, args.anyway) if args.retire else exchange.begin(args.dir, which)
    if args.json:
        told = {
            "key": which.value,
            "vkey": done.vkey,
            "ordered": list(done.ordered),
            "renewed": list(done.renewed),
            "others": list(done.others),
            "lacking": list(done.lacking),
            "retired": [str(path) for path in done.retired],
        }
        answers.print_json(AgencyPaths(args.dir), told)
        return Exit.OK
    print("\n".join(_retired(done, which) if args.retire else _begun(done, which)))
    for line in _cameras(args, done):
        print(line)
    return Exit.OK


def _begun(done: Told, which: Which) -> list[str]:
    return [
        f"The next key of {which.value} is {done.vkey}. The one before still signs, alone.",
        f"When `status` names no camera that lacks it: bodycam-station rotate --{which.value} --retire",
    ]


def _retired(done: Told, which: Which) -> list[str]:
    said = [f"The key of {which.value} is {done.vkey} now."]
    if which is Which.RECEIPTS:
        said.append("Start the station: bodycam-station serve")
    if done.retired:
        secret = next(path for path in done.retired if path.suffix == ".key")
        said.append(f"The old one signs no more; destroy it, or lock it away: {secret}")
    return said


def _cameras(args: argparse.Namespace, done: Told) -> Iterator[str]:
    for name in done.ordered:
        yield f"  {name}: takes it when it is next docked"
    yield from answers.said(answers.to_install(AgencyPaths(args.dir), done.renewed, done.ordered))
    for name in done.others:
        yield f"  {name}: set the [dock] keys of its agent.toml by hand"
