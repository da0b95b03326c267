"""Arguments in, exit status out; nothing else. Three commands share this file's manners: plain errors, documented
statuses, clean Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from agent import __version__, heap
from agent.errors import EXIT_STATUSES, AgentError, Exit, StorageError, UsageError
from agent.hardening import hardened
from agent.output import complain, nobody_reads
from agent.selftest import arguments

TRACEBACK = "BODYCAM_TRACEBACK"
"""Set to anything: a defect shows where it happened. The daemons' units set it."""
DEFAULT_CONFIG = Path("/etc/bodycam-agent/agent.toml")
MAX_TRIGGER = 40
_COMMANDS = ("status", "record", "stop", "mark", "mute", "unmute", "stealth", "sleep", "wake", "dock", "undock")
_GESTURES = ("press", "double", "hold", "long")


def guarded(command: Callable[[], int]) -> int:
    """Run one command; turn whatever it raises into one message and a status that means only what it says."""
    try:
        status = command()
        sys.stdout.flush()
        return status
    except AgentError as err:
        return _told(err)
    except KeyboardInterrupt:
        complain("interrupted")
        return int(Exit.INTERRUPTED)
    except BrokenPipeError:
        nobody_reads(1)
        return int(Exit.PIPE)
    except ModuleNotFoundError as err:
        return _told(UsageError(f"the Python package {err.name!r} is not installed", "make setup, or pip install it"))
    except Exception as err:
        if isinstance(err, OSError) and err.filename and err.strerror:
            return _told(
                StorageError(f"{err.filename}: {err.strerror}", "check the path, its owner and mode, the disk")
            )
        return _defect(err)


def _told(error: AgentError) -> int:
    complain(f"error: {error}")
    return int(error.exit_status)


def _defect(error: Exception) -> int:
    if os.environ.get(TRACEBACK):
        traceback.print_exception(error)
        hint = "report it with the traceback above"
    else:
        hint = f"set {TRACEBACK}=1 and run it again: that shows where; report it with that"
    words = " ".join(str(error).split())
    complain(f"error: {type(error).__name__}: {words or 'no message'}: a defect of this program\n  next: {hint}")
    return int(Exit.SOFTWARE)


def agent_main(argv: Sequence[str] | None = None) -> int:
    """`bodycam-agent`."""
    options = _parsed(_agent_parser(), argv)
    return _process(lambda: int(options.run(options)), argv)


def _parsed(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Also the text of `ctl` where it stands behind an option: argparse has found it not to be there by then."""
    options, left = parser.parse_known_args(argv)
    if left and getattr(options, "text", "") is None and not left[0].startswith("-"):
        options.text = left.pop(0)
    if left:
        parser.error(f"unrecognized arguments: {' '.join(left)}")
    return options


def station_main(argv: Sequence[str] | None = None) -> int:
    """`bodycam-station`."""

    def run() -> int:
        from agent.station.commands import main

        return main(argv)

    return _process(run, argv)


def evidence_main(argv: Sequence[str] | None = None) -> int:
    """`bodycam-evidence`."""

    def run() -> int:
        from agent.evidence.commands import main

        return main(argv)

    return _process(run, argv)


def _process(command: Callable[[], int], argv: Sequence[str] | None) -> int:
    """`guarded`, and where it is all this process does, one more Ctrl-C changes nothing of what has been decided: the
    interpreter gives SIGINT its default action back while it shuts down.
    """
    try:
        return guarded(command)
    except KeyboardInterrupt:
        return int(Exit.INTERRUPTED)
    finally:
        if argv is None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def _agent_parser() -> argparse.ArgumentParser:
    from agent.apply import ABOUT, add_arguments

    parser = _parser(
        "bodycam-agent",
        "The camera: record, seal, upload; or the whole product on one desk.",
        "example: bodycam-agent bench --source synthetic --duration 20 --out /tmp/bench",
    )
    parser.add_argument("--version", action="version", version=f"bodycam-agent {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _bench_parser(commands)
    for name, run, text in (
        ("recorder", _recorder, "the recorder daemon: lens, microphone, signing key, spool; no network"),
        ("uploader", _uploader, "the uploader daemon: network; may not delete"),
    ):
        daemon = _sub(commands, name, text, f"example: bodycam-agent {name} --config /etc/bodycam-agent/agent.toml")
        daemon.add_argument(
            "--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help="configuration (default %(default)s)"
        )
        daemon.set_defaults(run=run)
    _provision_parser(commands)
    add_arguments(_sub(commands, "apply", *ABOUT))
    ctl = _sub(
        commands,
        "ctl",
        "press the buttons of a running camera",
        'examples:\n  bodycam-agent ctl status --json\n  bodycam-agent ctl mark "he drops the bag"\n'
        "  bodycam-agent ctl record --trigger holster\n  bodycam-agent ctl press",
    )
    ctl.add_argument(
        "do",
        choices=[*_COMMANDS, *_GESTURES],
        help="what to do; press, double, hold and long are what a hand does with the button",
    )
    ctl.add_argument("--trigger", metavar="NAME", help="with record: what made it record, for the log")
    ctl.add_argument("text", nargs="?", metavar="TEXT", help="with mark: what to find again; with stealth: on or off")
    ctl.add_argument("--tag", metavar="ID", help="with mark: one of the agency's tags, which `ctl status` lists")
    ctl.add_argument("--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help="configuration of that camera")
    ctl.add_argument("--json", action="store_true", help="print the answer as JSON")
    ctl.set_defaults(run=_ctl)
    test = _sub(commands, "selftest", arguments.TEXT, arguments.EXAMPLES)
    arguments.add(test, DEFAULT_CONFIG)
    test.set_defaults(run=arguments.run)
    example = (
        "examples:\n  bodycam-agent config check config/agent.toml\n"
        "  bodycam-agent config check --profile traffic config/agent.toml"
    )
    config = _sub(commands, "config", "look at a configuration", example).add_subparsers(metavar="check", required=True)
    check = _sub(config, "check", "all mistakes at once, with suggestions", example)
    check.add_argument("file", type=Path, nargs="?", metavar="FILE", help=f"default {DEFAULT_CONFIG}")
    check.add_argument(
        "--profile", metavar="NAME|FILE", help="a profile, and, where FILE is named, what comes of it over FILE"
    )
    check.add_argument("--json", action="store_true", help="print the mistakes as JSON")
    check.set_defaults(run=_config)
    return parser


def _bench_parser(commands: Any) -> None:
    bench = _sub(
        commands,
        "bench",
        "recorder, uploader and station on this desk, from lens to verified evidence",
        "examples:\n  bodycam-agent bench\n  bodycam-agent bench --source clip:street.mp4 --out /tmp/bench\n"
        "  bodycam-agent bench --source webcam:0 --mic default --duration 30 --json",
    )
    bench.add_argument(
        "--source", default="auto", metavar="auto|webcam[:N]|clip:FILE|synthetic", help="picture (default auto)"
    )
    bench.add_argument("--mic", default="auto", metavar="auto|NAME|clip|synthetic|none", help="sound (default auto)")
    bench.add_argument(
        "--duration", type=_seconds, metavar="S", help="seconds to record (default: the clip's length, else 20)"
    )
    bench.add_argument(
        "--out", type=Path, metavar="DIR", help="where everything goes (default: a new directory bench-out-...)"
    )
    bench.add_argument(
        "--tz", metavar="ZONE", help="show times in this zone, like Africa/Casablanca (default: this machine's)"
    )
    bench.add_argument(
        "--profile", metavar="NAME|FILE", help="as a camera of that unit: default, traffic, intervention, ..."
    )
    bench.add_argument("--json", action="store_true", help="print result.json at the end, and no progress")
    bench.set_defaults(run=_bench)


def _provision_parser(commands: Any) -> None:
    provision = _sub(
        commands,
        "provision",
        "make this camera's keys and its request; then install the agency's answer",
        "examples:\n"
        "  bodycam-agent provision --camera cam-0001 --key tpm:0x81010001     keys made here; writes cam-0001.csr\n"
        "  bodycam-station enrol --dir agency --csr cam-0001.csr              at the agency; writes cam-0001.bundle\n"
        "  bodycam-agent provision --certificate cam-0001.bundle --sha256 HEX back on the camera\n"
        "  systemctl restart bodycam-recorder bodycam-uploader                both read it when they start\n"
        "Each may be repeated; no key is ever written over.",
    )
    step = provision.add_mutually_exclusive_group(required=True)
    step.add_argument("--camera", metavar="ID", help="first step: the name this camera is to have")
    step.add_argument("--certificate", type=Path, metavar="FILE", help="second step: the agency's answer")
    provision.add_argument(
        "--sha256", metavar="HEX", help="second step: what the agency told of its answer; any other is refused"
    )
    provision.add_argument(
        "--list",
        type=Path,
        metavar="FILE",
        help="second step: answers.sha256 of a batch, whose digest --sha256 is then",
    )
    provision.add_argument(
        "--key", default="file", metavar="file|tpm:0x81...", help="where the identity key is made (default: a file)"
    )
    provision.add_argument(
        "--counter",
        metavar="none|tpm:0x018...",
        help="a counter that shows a card put back to an older state (default: tpm:0x01800100 with a key in the TPM)",
    )
    provision.add_argument(
        "--tpm-device", type=Path, default=Path("/dev/tpmrm0"), metavar="FILE", help="that TPM (default %(default)s)"
    )
    provision.add_argument(
        "--dir", type=Path, default=DEFAULT_CONFIG.parent, metavar="DIR", help="this camera's (default %(default)s)"
    )
    provision.add_argument("--json", action="store_true", help="report as JSON")
    provision.set_defaults(run=_provision)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds, like 20 or 7.5") from None
    if not 1 <= value <= 24 * 3600:
        raise argparse.ArgumentTypeError("a duration is 1 to 86400 seconds")
    return value


def _parser(prog: str, description: str, epilog: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=prog,
        description=description,
        epilog=f"{epilog}\n\n{EXIT_STATUSES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _sub(commands: Any, name: str, text: str, epilog: str) -> argparse.ArgumentParser:
    found: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=text,
        epilog=f"{epilog}\n\n{EXIT_STATUSES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return found


# -- commands ------------------------------------------------------------------------------------------------------


def _bench(options: argparse.Namespace) -> int:
    from agent.bench import BenchOptions, run

    return run(
        BenchOptions(
            options.source, options.mic, options.duration, options.out, options.json, options.tz, options.profile
        )
    )


def _recorder(options: argparse.Namespace) -> int:
    from agent.recorderprocess import run

    return run(options.config)


def _uploader(options: argparse.Namespace) -> int:
    hardened()
    heap.settle()
    import threading

    from agent.configstart import begin
    from agent.uploader import run

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run(begin(options.config).warn(options.config), stop=stop, file=options.config)
    return int(Exit.OK)


def _provision(options: argparse.Namespace) -> int:
    hardened()
    from agent.provision import Wanted, install, prepare, read_answer

    if options.camera is not None:
        counter = options.counter or ("tpm:0x01800100" if options.key.startswith("tpm:") else "none")
        counter = "" if counter == "none" else counter
        wanted = Wanted(options.camera, options.key, options.tpm_device.absolute(), counter)
        told, lines = prepare(options.dir, wanted).told()
    else:
        told, lines = install(options.dir, read_answer(options.certificate, options.sha256, options.list)).told()
    print(json.dumps(told) if options.json else "\n".join(lines))
    return int(Exit.OK)


def _ctl(options: argparse.Namespace) -> int:
    from agent import localtime, readable
    from agent.clock import SystemClock
    from agent.configstart import begin
    from agent.controls.local import ask
    from agent.eventbody import MAX_TEXT
    from agent.vouch import VouchedClock

    if options.do == "stealth" and options.text not in ("on", "off"):
        raise UsageError("stealth is on or off", "say which: bodycam-agent ctl stealth on")
    if options.text is not None and options.do not in ("mark", "stealth"):
        raise UsageError(f"{options.do} takes no text", f"leave {options.text!r} out, or use mark")
    if options.trigger is not None and options.do != "record":
        raise UsageError(f"{options.do} takes no --trigger", "leave it out, or use record")
    if not 1 <= len(options.trigger or "ctl") <= MAX_TRIGGER:
        raise UsageError(f"the name has {len(options.trigger)} characters", f"a trigger has 1 to {MAX_TRIGGER}")
    if options.tag is not None and options.do != "mark":
        raise UsageError(f"{options.do} takes no tag", "leave --tag out, or use mark")
    if len(options.text or "") > MAX_TEXT:
        raise UsageError(f"the text has {len(options.text)} characters", f"a mark has at most {MAX_TEXT}")
    config = begin(options.config).config
    more = {"text": options.text, "trigger": options.trigger, "tag": options.tag}
    request = {"do": options.do, **{key: value for key, value in more.items() if value is not None}}
    answer = ask(config.control.socket, request, timeout_s=100)
    if options.json:
        print(json.dumps(answer, indent=2))
    else:
        zone, problem = localtime.find_or_utc(config.camera.timezone)
        if problem:
            print(f"note: {problem}", file=sys.stderr)
        clock = VouchedClock(SystemClock(), config.control.socket.parent)
        # The officer's lines, in the camera's language; what follows is the technician's.
        print("".join(f"{line}\n" for line in answer.pop("words", ())), end="")
        print("\n".join(readable.lines({"time": localtime.now(clock, zone), **answer})))
    return int(Exit.OK)


def _config(options: argparse.Namespace) -> int:
    from agent import configcheck, profiles
    from agent.configfile import text_of

    told: list[tuple[str, str]] = []
    file = options.file or DEFAULT_CONFIG
    if options.profile is not None:
        path = profiles.find(options.profile)
        profile = text_of(path)
        mistakes = profiles.check(profile)
        if options.file is None:
            return _mistakes(path, [(str(path), mistake) for mistake in mistakes], options.json)
        told += [(str(path), mistake) for mistake in mistakes]
    text, base_dir = text_of(file), file.resolve().parent
    told += [(str(file), mistake) for mistake in configcheck.of_file(text, base_dir)]
    if options.profile is not None:
        told += [(f"{path} over {file}", mistake) for mistake in configcheck.of_both(profile, text, base_dir)]
    return _mistakes(file, told, options.json)


def _mistakes(file: Path, told: list[tuple[str, str]], as_json: bool) -> int:
    """`told`: each mistake after where it is; in JSON where it is not `file` itself."""
    lines = [f"{where}: {mistake}" for where, mistake in told]
    if as_json:
        mistakes = [mistake if where == str(file) else f"{where}: {mistake}" for where, mistake in told]
        print(json.dumps({"file": str(file), "mistakes": mistakes}, indent=2))
    else:
        print("\n".join(lines) or f"{file}: no mistakes")
    return int(Exit.USAGE if told else Exit.OK)
