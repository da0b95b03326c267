"""The wall as the kernel keeps it: a process under the uploader's user, in its group, tries what only the recorder may,
and leaves traps in the one place where it may write. Needs root, to become somebody else.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.model import SegmentState
from agent.station.layout import AgencyPaths
from agent.vault import Vault
from tests.camera_kit import FakeClock
from tests.recorder_desk import Camera
from tests.recorder_kit import make_config
from tests.test_vault import put_receipt

UPLOADER, GROUP = 64_321, 64_322
"""Free ids: nobody's on Debian, whose packages take theirs below 60,000."""
pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")

TRY = """
import json, os, sys
root, told = sys.argv[1], {}
# The interpreter may lie where only root reads: it is loaded by now. So may spool and key: what is in the way to
# them refuses nothing here, only they do.
os.chdir(root)
key_dir = os.open(os.path.dirname(sys.argv[2]), os.O_PATH)
os.setgroups([])
os.setgid(int(sys.argv[4]))
os.setuid(int(sys.argv[3]))
def attempt(name, do):
    try:
        do()
        told[name] = "done"
    except OSError as err:
        told[name] = type(err).__name__
segment = "sealed/" + next(n for n in sorted(os.listdir("sealed")) if n.endswith(".tar"))
record = segment[:-4] + ".seal"
attempt("read a segment", lambda: open(segment, "rb").read(1))
attempt("write into inbox", lambda: open("inbox/mine", "wb").close())
attempt("delete a segment", lambda: os.unlink(segment))
attempt("delete a seal record", lambda: os.unlink(record))
attempt("move a segment to delivered", lambda: os.rename(segment, "delivered/x.tar"))
attempt("move a segment into inbox", lambda: os.rename(segment, "inbox/x.tar"))
attempt("change a segment", lambda: open(segment, "r+b"))
attempt("change a segment's mode", lambda: os.chmod(segment, 0o777))
attempt("truncate the log", lambda: os.truncate("log/1/checkpoint", 0))
attempt("write into sealed", lambda: open("sealed/new.tar", "wb"))
attempt("write into outbox", lambda: open("outbox/dock.json", "wb"))
attempt("write into receipts", lambda: open("receipts/x.receipt", "wb"))
attempt("write into the log", lambda: open("log/1/x", "wb"))
attempt("write beside inbox", lambda: open("x", "wb"))
attempt("replace inbox", lambda: os.rename("inbox", "old"))
attempt("read the identity key", lambda: os.open(os.path.basename(sys.argv[2]), os.O_RDONLY, dir_fd=key_dir))
attempt("a hard link to a segment", lambda: os.link(segment, "inbox/linked.receipt"))
for name, do in {
    "a link": lambda: os.symlink("../" + segment, "inbox/link.receipt"),
    "a link out": lambda: os.symlink("/etc/passwd", "inbox/out.checkpoint"),
    "a pipe": lambda: os.mkfifo("inbox/pipe.receipt"),
    "a directory": lambda: os.mkdir("inbox/dir.receipt"),
    "a large file": lambda: open("inbox/large.receipt", "wb").write(bytes((64 << 10) + 1)),
    "progress as a pipe": lambda: os.mkfifo("inbox/progress.json"),
}.items():
    attempt(name, do)
print(json.dumps(told))
"""


@pytest.fixture
def vault(agency: AgencyPaths, tmp_path: Path) -> Iterator[Vault]:
    """A spool as the units make it: the recorder's, readable for its group."""
    made = Vault(make_config(agency, tmp_path), FakeClock())
    made.sealer.seal_open()
    share(made)
    yield made
    made.close()


def share(vault: Vault) -> None:
    """Its group may come in, as far as the modes let it."""
    for path in (vault.spool.root, *vault.spool.root.rglob("*")):
        os.chown(path, -1, GROUP)


def as_uploader(vault: Vault, agency: AgencyPaths) -> dict[str, str]:
    """What became of each attempt. The key has a mode of its own, and lies where anybody may come."""
    key = vault.spool.root.parent / "keys" / "identity.key"
    key.parent.mkdir(exist_ok=True)
    key.parent.chmod(0o755)
    shutil.copy2(agency.camera("cam-test").identity_key, key)
    done = subprocess.run(
        [sys.executable, "-c", TRY, str(vault.spool.root), str(key), str(UPLOADER), str(GROUP)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, str] = json.loads(done.stdout)
    return told


def hard_links_are_protected() -> bool:
    """proc_sys_fs(5), protected_hardlinks."""
    return Path("/proc/sys/fs/protected_hardlinks").read_text("ascii").strip() == "1"


def test_it_may_read_what_it_sends_and_write_into_inbox_alone(
    agency: AgencyPaths, vault: Vault, tmp_path: Path
) -> None:
    before = {p: p.read_bytes() for p in vault.spool.root.rglob("*") if p.is_file() and "inbox" not in p.parts}
    told = as_uploader(vault, agency)
    allowed = {name for name, what in told.items() if what == "done"}
    # Debian's kernel forbids a hard link to a file that one could not write; where it is allowed, it reads what could
    # be read before, and changes nothing.
    links = set() if hard_links_are_protected() else {"a hard link to a segment"}
    assert allowed == links | {
        "read a segment", "write into inbox", "a link", "a link out", "a pipe", "a directory", "a large file",
        "progress as a pipe",
    }  # fmt: skip
    refused = {what for what in told.values() if what != "done"}
    assert refused == {"PermissionError"}
    linked = vault.spool.inbox_dir / "linked.receipt"
    assert linked.exists() != hard_links_are_protected()
    assert {p: p.read_bytes() for p in before} == before


def test_traps_in_inbox_stop_nobody_lead_nowhere_and_hide_no_receipt(agency: AgencyPaths, vault: Vault) -> None:
    as_uploader(vault, agency)
    put_receipt(agency, vault)
    sealed = len(vault.spool.records(SegmentState.SEALED))
    delivered, refusals = vault.accept_receipts()
    assert delivered == sealed > 0
    # A hard link, where the kernel allows one to another's file, is a file that is no receipt: refused in words.
    assert len(refusals) == (0 if hard_links_are_protected() else 1)
    assert all("linked.receipt" in refusal for refusal in refusals)
    assert (vault.spool.inbox_dir / "pipe.receipt").is_fifo()
    assert vault.accept_receipts() == (0, [])


def test_traps_in_inbox_are_shown_and_logged_by_kind_once_a_minute_until_they_are_gone(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = Camera(agency, tmp_path, monkeypatch).start()
    camera.vault.sealer.seal_open()
    share(camera.vault)
    camera.ticks(1)
    assert "inbox" not in camera.faults()
    as_uploader(camera.vault, agency)
    kinds = "no message, and refused: a directory, a file that is too large, a link, a pipe in "
    for _ in range(4):
        camera.ticks(8)
        assert camera.faults()["inbox"].startswith(kinds)
        # One that comes and goes fills no log.
        traps = [p for p in camera.vault.spool.inbox_dir.iterdir() if p.name != "mine"]
        for path in traps:
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        camera.ticks(8)
        assert "inbox" not in camera.faults()
        share(camera.vault)
        as_uploader(camera.vault, agency)
    said = [body for body in camera.said("fault") if body["what"] == "inbox"]
    assert [body["detail"].startswith(kinds) for body in said] == [True]
    assert [body["what"] for body in camera.said("cleared")].count("inbox") == 1
    camera.ticks(4 * 60)
    again = [body for body in camera.said("fault") if body["what"] == "inbox"][1:]
    assert [(body["detail"].startswith(kinds), body["times"]) for body in again] == [(True, 4)]
