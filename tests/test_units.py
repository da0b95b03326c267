"""The unit files start what this package installs, and keep the wall they are named for."""

from __future__ import annotations

import os
import re
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from agent.care import REQUEST
from agent.config import template
from agent.configstart import GOOD
from agent.dock import uploads
from agent.dock.transport import ATTEST_TIMEOUT_S, MAX_LOCATION, STORE_TIMEOUT_S
from agent.dock.visit import MAX_WAIT_S, SPREAD
from agent.dock.wire import MAX_RETRY_AFTER_S
from agent.model import LANGUAGES, NS
from agent.pulse import FEED_NS, LOOP_NS
from agent.spool import clearing, evicting, inbox

HOUSE = Path(__file__).parent.parent
SYSTEMD = HOUSE / "systemd"
DAEMONS = [SYSTEMD / "bodycam-recorder.service", SYSTEMD / "bodycam-uploader.service"]
UNITS = sorted(path for path in SYSTEMD.iterdir() if path.suffix in (".service", ".target", ".path"))
SERVICES = [path for path in UNITS if path.suffix == ".service"]
ON_DATA = [*DAEMONS, SYSTEMD / "bodycam-apply.path"]
"""systemd gives a .path the mounts of what it looks at, as RequiresMountsFor= does."""
DATA = "/var/lib/bodycam-agent"
MOUNT = DATA.strip("/").replace("-", r"\x2d").replace("/", "-") + ".mount"
MODULES = {"video4linux": "videodev", "media": "mc", "alsa": "snd"}
"""Groups of devices, by the module that brings each."""
PI_S = 15
"""The most that a Raspberry Pi's watchdog counts to (drivers/watchdog/bcm2835_wdt.c: max_timeout)."""
CONFIG = "agent.toml"
KEYS = {"recorder": "recorder/identity.key", "uploader": "uploader/tls.key"}
WORST = {"recorder": 1.0, "uploader": 1.5, "apply": 1.7, "poweroff": 0.3, "evict": 0.3}
"""Exposure as `systemd-analyze security` rates it: 0 is best, 10 is worst."""


def read(path: Path) -> dict[str, dict[str, list[str]]]:
    """Section, key, values: systemd takes a key as often as it stands there."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    section = ""
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found[section][key].append(value)
    return found


@pytest.mark.parametrize("path", DAEMONS, ids=lambda p: p.stem)
@pytest.mark.parametrize("there", [(), (CONFIG,), (CONFIG + GOOD,), (CONFIG, CONFIG + GOOD)])
def test_starts_once_it_was_provisioned_also_where_only_the_last_good_configuration_is_left(
    path: Path, there: tuple[str, ...], tmp_path: Path
) -> None:
    """systemd itself says so: of conditions with a bar one has to hold."""
    for name in there:
        (tmp_path / name).touch()
    found = [f"ConditionPathExists={value}" for value in read(path)["Unit"]["ConditionPathExists"]]
    told = [condition.replace("/etc/bodycam-agent", str(tmp_path)) for condition in found]
    done = subprocess.run(["systemd-analyze", "condition", *told], capture_output=True, timeout=60, check=False)
    assert (done.returncode == 0) == bool(there), done.stderr


@pytest.mark.parametrize("path", DAEMONS, ids=lambda p: p.stem)
def test_starts_a_command_of_this_package_and_never_gives_up(path: Path) -> None:
    unit = read(path)
    (command,) = unit["Service"]["ExecStart"]
    assert command.split()[0].endswith("/bodycam-agent")
    assert command.split()[1] == path.stem.removeprefix("bodycam-")
    assert unit["Service"]["Restart"] == ["always"]
    assert unit["Unit"]["StartLimitIntervalSec"] == ["0"]


@pytest.mark.parametrize("path", ON_DATA, ids=lambda p: p.name)
def test_a_data_disk_that_comes_late_starts_each(path: Path) -> None:
    """A path unit whose start failed for want of its mount is tried again by nothing else."""
    assert read(path)["Install"]["WantedBy"] == [f"multi-user.target {MOUNT}"]


@pytest.mark.parametrize("path", DAEMONS, ids=lambda p: p.name)
def test_no_daemon_is_dark_for_want_of_a_data_disk(path: Path) -> None:
    """It runs without, and shows it: what a unit requires, directly or by its directories (systemd.exec(5)), takes the
    unit along, and Restart= is about processes. The mount is there before it, where it comes, and goes after it.
    """
    unit = read(path)
    assert MOUNT in " ".join(unit["Unit"]["After"]).split()
    requiring = {"RequiresMountsFor", "Requires", "BindsTo", "PartOf", "Requisite"} & set(unit["Unit"])
    assert not requiring | {"StateDirectory", "CacheDirectory", "LogsDirectory"} & set(unit["Service"])
    # With a device that is not there each start anew would wait for it.
    assert MOUNT not in " ".join(unit["Unit"]["Wants"]).split()


def test_root_sees_to_the_disk_before_each_start_of_the_recorder() -> None:
    """And whatever comes of it, the recorder starts."""
    service = read(DAEMONS[0])["Service"]
    assert service["ExecStartPre"][0] == "+-/usr/lib/bodycam-agent/disk start"
    assert service["ReadWritePaths"] == [DATA]
    # Not before each start: most have nothing to do with the disk, and the uploader has it too.
    assert service["ExecStopPost"] == ["+-/usr/lib/bodycam-agent/disk end"]
    assert '"systemd/libexec/disk", root / "usr/lib/bodycam-agent/disk"' in (HOUSE / "tools" / "deb").read_text("utf-8")


def test_root_keeps_the_configuration_with_which_the_recorder_started() -> None:
    """A system's card that does not answer meanwhile ends no recorder."""
    service = read(DAEMONS[0])["Service"]
    assert service["ExecStartPost"] == ["+-/usr/bin/timeout -k 5 60 /usr/lib/bodycam-agent/keep"]
    assert int(service["TimeoutStartSec"][0]) > 65
    assert '"systemd/libexec/keep", root / "usr/lib/bodycam-agent/keep"' in (HOUSE / "tools" / "deb").read_text("utf-8")


def test_a_camera_whose_driver_comes_after_the_recorder_is_allowed() -> None:
    """systemd.resource-control(5): groups that /proc/devices does not have as the unit starts are not added. Debian's
    kernel has these as modules, and the others built in.
    """
    unit = read(DAEMONS[0])
    groups = {value.split()[0] for value in unit["Service"]["DeviceAllow"]}
    assert groups == {f"char-{name}" for name in {*MODULES, "dma_heap", "gpiochip", "tpm"}}
    needed = {f"modprobe@{module}.service" for module in MODULES.values()}
    assert needed == {name for line in unit["Unit"]["Wants"] for name in line.split()}
    assert needed <= {name for line in unit["Unit"]["After"] for name in line.split()}


def test_each_time_on_the_charger_starts_the_docks_target() -> None:
    assert read(SYSTEMD / "bodycam-dock.target")["Unit"]["StopWhenUnneeded"] == ["yes"]


def test_the_recorder_has_no_network_and_the_uploader_no_device() -> None:
    recorder, uploader = (read(p)["Service"] for p in DAEMONS)
    assert recorder["PrivateNetwork"] == ["yes"]
    assert recorder["RestrictAddressFamilies"] == ["AF_UNIX"]
    assert uploader["PrivateDevices"] == ["yes"]
    assert [path.endswith("/spool/inbox") for path in uploader["ReadWritePaths"]] == [True]
    assert recorder["User"] != uploader["User"]


@pytest.mark.parametrize("path", DAEMONS, ids=lambda p: p.stem)
def test_each_says_that_it_is_ready_and_is_watched(path: Path) -> None:
    service = read(path)["Service"]
    assert service["Type"] == ["notify"] and service["NotifyAccess"] == ["main"]
    assert int(service["WatchdogSec"][0]) > 0
    assert service["WatchdogSignal"] == ["SIGKILL"]


def test_a_recorder_that_was_stopped_does_not_leave_its_light_on_for_long() -> None:
    """A turn of the loop may last longer than that, so it is not what feeds."""
    limit_s = int(read(DAEMONS[0])["Service"]["WatchdogSec"][0])
    assert 10 * FEED_NS / NS <= limit_s < LOOP_NS / NS
    for page in ("README.md", *(f"docs/officer.{language}.md" for language in LANGUAGES)):
        assert re.search(rf"\b{limit_s} ?(s|ثانية)\b", (HOUSE / page).read_text("utf-8")), page


def test_a_recorder_that_the_watchdog_starts_anew_finds_that_it_was_dark() -> None:
    service = read(DAEMONS[0])["Service"]
    assert service["RuntimeDirectoryPreserve"] == ["restart"], "agent/controls/kept.py keeps it there"
    assert f"/usr/bin/rm -f %t/{service['RuntimeDirectory'][0]}/{REQUEST}" in service["ExecStartPre"]


def test_nobody_but_the_recorder_and_root_looks_beside_the_control_socket() -> None:
    """The directory goes with a stop and is made anew by a start: what another unit's namespace shuts is the one that
    was there when that unit began.
    """
    recorder, uploader = (read(path)["Service"] for path in DAEMONS)
    assert recorder["RuntimeDirectoryMode"] == ["0700"] and recorder["User"] != uploader["User"]
    assert f"-/run/{recorder['RuntimeDirectory'][0]}" in uploader["InaccessiblePaths"]


def test_the_recorder_is_let_run_before_all_others() -> None:
    """A priority counts only where no unit has a weight, and the uploader's has one."""
    recorder, uploader = (read(path)["Service"] for path in DAEMONS)
    assert int(recorder["CPUWeight"][0]) >= 500 > 100 > int(uploader["CPUWeight"][0])
    assert int(recorder["Nice"][0]) < 0 < int(uploader["Nice"][0])


def test_an_uploader_that_waits_for_the_slowest_answer_is_not_taken_for_dead() -> None:
    """A request may take twice its timeouts (agent/dock/wire.py), and nothing is told meanwhile."""
    told_s = MAX_RETRY_AFTER_S * (1 + SPREAD) + MAX_WAIT_S
    longest_s = max(2 * sum(ATTEST_TIMEOUT_S), 2 * sum(STORE_TIMEOUT_S), told_s)
    assert longest_s < int(read(DAEMONS[1])["Service"]["WatchdogSec"][0]) < 2 * longest_s


def test_what_the_recorder_asks_for_at_the_end_of_its_battery_is_done() -> None:
    """It writes one file, in a directory of its own; systemd waits for just that, and acts once."""
    request = f"/run/{read(DAEMONS[0])['Service']['RuntimeDirectory'][0]}/{REQUEST}"
    path, unit = read(SYSTEMD / "bodycam-poweroff.path"), read(SYSTEMD / "bodycam-poweroff.service")
    assert path["Path"] == {"PathExists": [request], "Unit": ["bodycam-poweroff.service"]}
    assert path["Install"]["WantedBy"] == ["multi-user.target"]
    assert path["Unit"]["StartLimitIntervalSec"] == unit["Unit"]["StartLimitIntervalSec"] == ["0"]
    assert unit["Unit"]["SuccessAction"] == ["poweroff"]
    service = unit["Service"]
    assert service["Type"] == ["oneshot"]
    # One that the recorder took back fails here, and nothing is switched off; the directory is the recorder's.
    assert service["ExecStart"] == [f"/usr/bin/rm {request}"]
    assert service["User"] == read(DAEMONS[0])["Service"]["User"]
    assert service["ReadWritePaths"] == [str(Path(request).parent)]
    assert request.startswith(str(Path(template_socket()).parent))


def test_an_uploader_whose_end_the_recorder_asks_for_is_ended_as_a_whole_and_started_anew() -> None:
    """With all that it holds open: systemd ends each process of its unit, before this one begins, and by force."""
    request = f"/run/{read(DAEMONS[0])['Service']['RuntimeDirectory'][0]}/{evicting.REQUEST}"
    path, unit = read(SYSTEMD / "bodycam-evict.path"), read(SYSTEMD / "bodycam-evict.service")
    assert path["Path"] == {"PathExists": [request], "Unit": ["bodycam-evict.service"]}
    assert path["Install"]["WantedBy"] == ["multi-user.target"]
    assert path["Unit"]["StartLimitIntervalSec"] == unit["Unit"]["StartLimitIntervalSec"] == ["0"]
    uploader = [DAEMONS[1].name]
    assert all(unit["Unit"][key] == uploader for key in ("Conflicts", "After", "OnSuccess", "OnFailure"))
    assert not {"KillMode", "SendSIGKILL", "FileDescriptorStoreMax", "Delegate"} & set(read(DAEMONS[1])["Service"])
    service = unit["Service"]
    assert (service["Type"], service["ExecStart"]) == (["oneshot"], [f"/usr/bin/rm -f {request}"])
    assert service["User"] == read(DAEMONS[0])["Service"]["User"]
    assert service["ReadWritePaths"] == [str(Path(request).parent)]


def template_socket() -> str:
    """Where config/agent.toml has the control socket."""
    (line,) = re.findall(r'^#socket = "(.+)"$', template(), re.MULTILINE)
    return str(line)


def test_a_camera_with_a_tpm_lets_its_recorder_ask_it_and_has_no_key_in_a_file() -> None:
    extra = read(SYSTEMD / "bodycam-recorder.service.d" / "tpm.conf")
    assert extra["Service"] == {"SupplementaryGroups": ["tss"], "LoadCredential": [""]}


@pytest.mark.parametrize("path", DAEMONS, ids=lambda p: p.stem)
def test_keys_are_handed_over_and_stay_in_memory(path: Path) -> None:
    service = read(path)["Service"]
    assert [service[key] for key in ("LimitCORE", "MemorySwapMax", "LimitMEMLOCK")] == [["0"], ["0"], ["infinity"]]
    key = KEYS[path.stem.removeprefix("bodycam-")]
    assert service["LoadCredential"] == [f"{Path(key).name}:/etc/bodycam-agent/{key}"]


def test_the_uploader_makes_no_large_file() -> None:
    """What it remembers for itself, and each message, fits; what is larger is a fault by its size alone."""
    service = read(SYSTEMD / "bodycam-uploader.service")["Service"]
    assert service["LimitFSIZE"] == [f"{inbox.MAX_OTHER >> 20}M"]
    assert max(uploads.MAX_BYTES + MAX_LOCATION, inbox.MAX_MESSAGE) < inbox.MAX_OTHER < clearing.MAX_BYTES


def test_the_uploader_makes_no_directory_and_writes_to_nothing_of_the_card_but_inbox() -> None:
    """What lies in a directory of its own the recorder cannot remove; and /tmp is on the card with Debian 12."""
    service = read(SYSTEMD / "bodycam-uploader.service")["Service"]
    first, *forbidden = service["SystemCallFilter"]
    assert not first.startswith("~")
    ended = {"mkdir", "mkdirat", "io_uring_setup", "io_uring_enter", "io_uring_register"}
    assert {f"{call}:kill" for call in ended} <= {
        word for line in forbidden if line[0] == "~" for word in line[1:].split()
    }
    # An import would make the directory of what it compiled.
    assert "PYTHONDONTWRITEBYTECODE=1" in service["Environment"]
    assert service["ReadWritePaths"] == ["/var/lib/bodycam-agent/spool/inbox"] and service["ProtectSystem"] == [
        "strict"
    ]
    assert service["TemporaryFileSystem"] == ["/tmp:ro /var/tmp:ro"]
    assert "-/dev/shm" in service["InaccessiblePaths"] and "PrivateTmp" not in service


@pytest.mark.parametrize("path", SERVICES, ids=lambda p: p.stem)
def test_little_is_left_to_somebody_who_takes_it_over(path: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
    told = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert told, done.stdout
    assert float(told[1]) <= WORST[path.stem.removeprefix("bodycam-")], done.stdout


def test_the_recorder_may_ask_how_well_the_clock_is_known_and_nobody_else_tunes_it() -> None:
    """Refused, each leaf of each camera says that nobody vouches for the time. tests/vm/test_vm_wall.py asks within."""
    service = read(SYSTEMD / "bodycam-recorder.service")["Service"]
    *_, asked = service["SystemCallFilter"]
    assert {"adjtimex", "clock_adjtime"} <= set(asked.split()) and "ProtectClock" not in service
    assert service["CapabilityBoundingSet"] == service["AmbientCapabilities"] == [""]
    assert read(SYSTEMD / "bodycam-uploader.service")["Service"]["ProtectClock"] == ["yes"]


def test_systemd_feeds_the_hardware_s_watchdog_in_a_time_that_every_board_of_ours_takes() -> None:
    """A machine refuses a limit that is over what its watchdog counts to. The page names file, limit and Pi."""
    (path,) = (SYSTEMD / "system.conf.d").iterdir()
    limits = read(path)
    assert limits == {"Manager": {"RuntimeWatchdogSec": [f"{PI_S}"], "RebootWatchdogSec": [f"{PI_S}"]}}
    page = (HOUSE / "docs" / "operations.md").read_text("utf-8")
    installed = f"/usr/lib/systemd/system.conf.d/{path.name}"
    assert installed in page and f"takes {PI_S} s at most" in page
    assert f'root / "{installed[1:]}"' in (HOUSE / "tools" / "deb").read_text("utf-8")
    # Not shorter than the recorder's own, which has cheaper remedies.
    assert int(read(DAEMONS[0])["Service"]["WatchdogSec"][0]) <= PI_S


@pytest.mark.parametrize("path", UNITS, ids=lambda p: p.name)
def test_systemd_takes_each_unit(path: Path, tmp_path: Path) -> None:
    """But for programs and users that only an installed camera has."""
    unit = re.sub(r"(?m)^(ExecStart(?:Pre|Post)?=)\S+", r"\1/bin/true", path.read_text("utf-8"))
    unit = re.sub(r"(?m)^Documentation=.*\n", "", unit)
    (tmp_path / path.name).write_text(unit, "utf-8")
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / path.name)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert not [line for line in done.stderr.splitlines() if path.name in line], done.stderr


def test_root_acts_only_on_what_the_recorder_asked_and_may_do_little() -> None:
    service = read(SYSTEMD / "bodycam-apply.service")["Service"]
    words = service["ExecStart"][0].split()
    directory = words[words.index("--from") + 1]
    globs = read(SYSTEMD / "bodycam-apply.path")["Path"]["PathExistsGlob"]
    assert globs == [f"{directory}/*.{kind}" for kind in ("clock", "configuration", "orders")]
    assert set(service["ReadWritePaths"][0].split()) == {"/etc/bodycam-agent", directory}
    assert "CAP_SYS_TIME" in service["CapabilityBoundingSet"][0].split()
    for key, value in (("Type", "oneshot"), ("PrivateNetwork", "yes"), ("NoNewPrivileges", "yes")):
        assert service[key] == [value]
    assert service["ProtectSystem"] == ["strict"]


def test_root_s_part_is_never_given_up_and_tried_again_in_peace() -> None:
    """A unit that ran into its start limit takes its path unit along (tests/vm/test_vm_orders.py)."""
    unit = read(SYSTEMD / "bodycam-apply.service")
    assert unit["Unit"]["StartLimitIntervalSec"] == ["0"]
    assert unit["Service"]["Restart"] == ["on-failure"] and int(unit["Service"]["RestartSec"][0]) >= 5


def test_the_audit_rules_are_about_the_uploader_and_what_it_writes() -> None:
    """auditctl(8): each is about one way in which the kernel refuses a write, or one kind of what must not be planted,
    whoever mounted what when; and no attempt, however often, floods the log (tests/vm/test_vm_audit.py loads them).
    """
    lines = (SYSTEMD / "audit" / "70-bodycam-wall.rules").read_text("ascii").splitlines()
    limit, *rules = [line for line in lines if line and not line.startswith("#")]
    assert re.fullmatch(r"-r [1-9]\d{1,2}", limit)
    user = read(SYSTEMD / "bodycam-uploader.service")["Service"]["User"][0]
    about = []
    for rule in rules:
        told = re.fullmatch(
            r"-a always,exit -F uid=(\S+) -F perm=wa -F (exit=-E[A-Z]+|filetype=[a-z]+) -F key=bodycam-wall", rule
        )
        assert told, rule
        assert told[1] == user
        about.append(told[2])
    # By modes; by the kernel's protections; since the unit has the spool mounted read-only; and since inbox/ is a mount
    # of its own there, so that what is moved or linked into it comes from another (tests/vm/test_vm_wall.py).
    assert about[:4] == ["exit=-EACCES", "exit=-EPERM", "exit=-EROFS", "exit=-EXDEV"]
    assert about[4:] == ["filetype=link", "filetype=fifo", "filetype=socket"]
