"""Root's part: only what the recorder's user alone can have written, under its digest, and once."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pwd
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent import durable, ordernumbers
from agent.apply import MAX_BYTES, apply
from agent.cli import agent_main
from agent.errors import UsageError
from agent.ordernumbers import Highest
from agent.spool.requests import CLOCK, CONFIGURATION, ORDERS, Requests

ME = pwd.getpwuid(os.geteuid()).pw_name
BOOT = "11111111-2222-3333-4444-555555555555"
OFFSET_NS = 1_790_000_000 * 10**9


class Clock:
    """The machine's, which no test may set."""

    boot_id = BOOT

    def __init__(self) -> None:
        self.set_to: list[tuple[int, int | None]] = []

    def boottime_ns(self) -> int:
        return 5 * 10**9

    def set(self, utc_ns: int, bound_ms: int | None) -> None:
        self.set_to.append((utc_ns, bound_ms))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def requests(tmp_path: Path) -> Requests:
    return Requests(durable.make_dir(tmp_path / "spool"))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "spool" / "apply"


def wanted(**changed: Any) -> bytes:
    return json.dumps({"boot": BOOT, "offset_ns": OFFSET_NS, "bound_ms": 120, **changed}).encode()


def ordered(text: bytes, number: int = 5, sha256: str = "a" * 64, kind: str = "configuration") -> bytes:
    """A configuration, and by which order it came."""
    return ordernumbers.request("cam-0001", {kind: Highest(number, sha256)}) + text


def named(directory: Path, data: bytes, kind: str = CLOCK) -> Path:
    path = directory / f"{hashlib.sha256(data).hexdigest()}.{kind}"
    path.write_bytes(data)
    path.chmod(0o600)
    return path


def test_the_clock_is_set_once_and_the_request_is_gone(requests: Requests, directory: Path, clock: Clock) -> None:
    requests.ask(CLOCK, wanted())
    (done,) = apply(directory, directory / "none", ME, clock)
    assert done.fine
    assert clock.set_to == [(OFFSET_NS + 5 * 10**9, 120)]
    assert not requests.is_asked(CLOCK)
    assert apply(directory, directory / "none", ME, clock) == []


def test_without_a_bound_the_clock_stays_unverified(requests: Requests, directory: Path, clock: Clock) -> None:
    requests.ask(CLOCK, wanted(bound_ms=None))
    assert apply(directory, directory / "none", ME, clock)[0].fine
    assert clock.set_to[0][1] is None


@pytest.mark.parametrize(("bound_ms", "told_ms"), [(16_000, 16_000), (16_001, None), (3_600_000, None)])
def test_a_bound_that_the_kernel_cannot_hold_is_none(
    requests: Requests, directory: Path, clock: Clock, bound_ms: int, told_ms: int | None
) -> None:
    requests.ask(CLOCK, wanted(bound_ms=bound_ms))
    assert apply(directory, directory / "none", ME, clock)[0].fine
    assert clock.set_to == [(OFFSET_NS + 5 * 10**9, told_ms)]


def test_nobody_steps_it_while_the_recorder_holds_it(requests: Requests, directory: Path, clock: Clock) -> None:
    requests.ask(CLOCK, wanted())
    requests.hold()
    (done,) = apply(directory, directory / "none", ME, clock)
    assert (done.fine, clock.set_to) == (False, [])
    assert "records" in done.words
    requests.release()
    requests.ask(CLOCK, wanted())
    assert apply(directory, directory / "none", ME, clock)[0].fine
    # Root lets go of it again.
    with (directory / "still").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize(
    "data",
    [
        wanted(boot="another"), wanted(offset_ns=-1), wanted(offset_ns=1.5), wanted(offset_ns=True),
        wanted(bound_ms="1"), wanted(offset_ns=1 << 70), wanted(offset_ns=0),
        b"[]", b"{}", b"", b"\xff", b"[" * 100_000, b"x" * (MAX_BYTES + 1),
    ],
)  # fmt: skip
def test_nonsense_sets_no_clock_and_goes(directory: Path, requests: Requests, clock: Clock, data: bytes) -> None:
    path = named(directory, data)
    (done,) = apply(directory, directory / "none", ME, clock)
    assert (done.fine, clock.set_to, path.exists()) == (False, [], False)


def test_a_configuration_takes_the_place_of_the_one_before_which_is_kept(
    requests: Requests, directory: Path, clock: Clock, tmp_path: Path
) -> None:
    config = tmp_path / "etc" / "agent.toml"
    durable.make_dir(config.parent)
    for number, text in enumerate((b"one", b"two", b"three"), 1):
        requests.ask(CONFIGURATION, ordered(text, number))
        assert apply(directory, config, ME, clock)[0].fine
        assert config.read_bytes() == text
    assert config.with_name("agent.toml.before").read_bytes() == b"two"
    assert config.stat().st_mode & 0o777 == 0o644
    assert sorted(p.name for p in config.parent.iterdir()) == ["agent.toml", "agent.toml.before", "orders.json"]


def a_link(path: Path, elsewhere: Path) -> None:
    elsewhere.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(elsewhere)


def a_second_name(path: Path, elsewhere: Path) -> None:
    os.link(path, elsewhere)


def a_pipe(path: Path, elsewhere: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def writable(path: Path, elsewhere: Path) -> None:
    path.chmod(0o666)


def another_content(path: Path, elsewhere: Path) -> None:
    path.write_bytes(b"evil")


def another_owner(path: Path, elsewhere: Path) -> None:
    os.chown(path, 65534, 65534)


@pytest.mark.parametrize("spoil", [a_link, a_second_name, a_pipe, writable, another_content, another_owner])
def test_what_another_could_have_put_there_is_not_believed(
    requests: Requests, directory: Path, clock: Clock, tmp_path: Path, spoil: Callable[[Path, Path], None]
) -> None:
    if spoil is another_owner and os.geteuid():
        pytest.skip("only root gives a file away")
    path = named(directory, ordered(b"evil text"), CONFIGURATION)
    spoil(path, tmp_path / "elsewhere")
    (done,) = apply(directory, tmp_path / "agent.toml", ME, clock)
    assert not done.fine
    assert not (tmp_path / "agent.toml").exists() and not (tmp_path / "orders.json").exists()
    assert not os.path.lexists(path)


def test_names_that_start_nothing_are_passed_over(requests: Requests, directory: Path, clock: Clock) -> None:
    for name in (".x.1.tmp", f"{'0' * 64}.shell", "..clock", "clock"):
        (directory / name).write_bytes(b"x")
    assert apply(directory, directory / "none", ME, clock) == []
    assert len(list(directory.iterdir())) == 5


@pytest.mark.parametrize("name", ["x.clock", f"{'A' * 64}.clock", "x\n.configuration", f"{'0' * 65}.clock"])
def test_a_name_that_starts_it_and_is_none_of_the_recorders_goes(
    requests: Requests, directory: Path, clock: Clock, name: str
) -> None:
    """Else the path unit would start it for ever."""
    (directory / name).write_bytes(wanted())
    (done,) = apply(directory, directory / "none", ME, clock)
    assert not done.fine and "not named after its content" in done.words
    assert [path.name for path in directory.iterdir()] == ["still"] and clock.set_to == []


def test_one_that_does_not_go_keeps_no_other_waiting(requests: Requests, directory: Path, clock: Clock) -> None:
    (directory / f"{'0' * 64}.clock").mkdir()
    last = named(directory, wanted())
    stuck, done = apply(directory, directory / "none", ME, clock)
    assert not stuck.fine and "cannot be taken away" in stuck.words
    assert done.fine and not last.exists() and clock.set_to == [(OFFSET_NS + 5 * 10**9, 120)]


def test_a_configuration_that_comes_again_is_not_written_again(
    requests: Requests, directory: Path, clock: Clock, tmp_path: Path
) -> None:
    config = tmp_path / "etc" / "agent.toml"
    durable.make_dir(config.parent)
    config.write_bytes(b"before")
    requests.ask(CONFIGURATION, ordered(b"after"))
    assert apply(directory, config, ME, clock)[0].fine
    written = config.stat()
    requests.ask(CONFIGURATION, ordered(b"after"))
    assert apply(directory, config, ME, clock)[0].fine
    assert (config.stat().st_ino, config.with_name("agent.toml.before").read_bytes()) == (written.st_ino, b"before")


# -- no older order --------------------------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """In force by order 5."""
    place = durable.make_dir(tmp_path / "etc") / "agent.toml"
    place.write_bytes(b"five")
    ordernumbers.keep(place.with_name("orders.json"), "cam-0001", {"configuration": Highest(5, "a" * 64)})
    return place


@pytest.mark.parametrize(
    "data, words",
    [
        (ordered(b"old", 4), "configuration number 4 is older than number 5"),
        (ordered(b"other", 5, "b" * 64), "another order than the one of this number"),
        (ordered(b"six", 6, kind="tags"), "does not say by which order it came"),
        (b'{"camera":"cam-0001","orders":{}}\nnone', "does not say by which order it came"),
        (b"[camera]\nid = 'cam-0001'\n", "not done"),
        (ordered(b"much", ordernumbers.MAX_NUMBER + 1), "no numbers of orders"),
    ],
)
def test_root_puts_no_configuration_in_place_that_is_older_or_came_by_no_order(
    requests: Requests, directory: Path, clock: Clock, config: Path, data: bytes, words: str
) -> None:
    """The card that knew of the newer one may be another by now; what root keeps lies beside the configuration."""
    requests.ask(CONFIGURATION, data)
    (done,) = apply(directory, config, ME, clock)
    assert not done.fine and words in done.words
    assert config.read_bytes() == b"five"
    assert ordernumbers.read(config.with_name("orders.json"))["cam-0001"]["configuration"] == Highest(5, "a" * 64)
    assert not requests.is_asked(CONFIGURATION)


def test_the_number_is_kept_before_the_configuration_is_changed(
    requests: Requests, directory: Path, clock: Clock, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cut in between leaves the old text and the new number, and the same order is taken again."""
    written: list[str] = []
    write = durable.write_file

    def cut(path: Path, data: bytes, mode: int = 0o600) -> None:
        written.append(path.name)
        if path.name == "agent.toml":
            raise KeyboardInterrupt
        write(path, data, mode)

    requests.ask(CONFIGURATION, ordered(b"six", 6, "b" * 64))
    with monkeypatch.context() as patch:
        patch.setattr(durable, "write_file", cut)
        with pytest.raises(KeyboardInterrupt):
            apply(directory, config, ME, clock)
    assert written == ["orders.json", "agent.toml.before", "agent.toml"] and config.read_bytes() == b"five"
    (done,) = apply(directory, config, ME, clock)
    assert done.fine and config.read_bytes() == b"six"
    requests.ask(CONFIGURATION, ordered(b"five"))
    assert not apply(directory, config, ME, clock)[0].fine and config.read_bytes() == b"six"


def test_numbers_of_what_root_does_not_do_are_kept_too(
    requests: Requests, directory: Path, clock: Clock, config: Path
) -> None:
    marks = {"assignment": Highest(7, "c" * 64), "tags": Highest(8, "d" * 64)}
    requests.ask(ORDERS, ordernumbers.request("cam-0001", marks))
    (done,) = apply(directory, config, ME, clock)
    assert done.fine and done.words == "kept, that cam-0001 has taken assignment 7, tags 8"
    kept = ordernumbers.read(config.with_name("orders.json"))
    assert kept == {"cam-0001": {**marks, "configuration": Highest(5, "a" * 64)}}
    requests.ask(ORDERS, ordernumbers.request("cam-0001", {"assignment": Highest(6, "c" * 64)}))
    assert not apply(directory, config, ME, clock)[0].fine
    assert ordernumbers.read(config.with_name("orders.json")) == kept and config.read_bytes() == b"five"


@pytest.mark.parametrize("data", [b"", b"{}", b"junk", b'{"v":1,"cameras":{}}', b"\0" * 4096])
def test_what_root_kept_and_is_damaged_lets_nothing_be_put_in_place(
    requests: Requests, directory: Path, clock: Clock, config: Path, data: bytes
) -> None:
    """As a file system leaves it after a power cut, say: it is not back at the beginning."""
    config.with_name("orders.json").write_bytes(data)
    for number in (4, 6):
        requests.ask(CONFIGURATION, ordered(b"text", number))
        (done,) = apply(directory, config, ME, clock)
        assert not done.fine and "orders.json is damaged" in done.words
    assert (config.read_bytes(), config.with_name("orders.json").read_bytes()) == (b"five", data)


def test_a_directory_that_others_may_write_is_not_believed(requests: Requests, directory: Path, clock: Clock) -> None:
    requests.ask(CLOCK, wanted())
    directory.chmod(0o770)
    with pytest.raises(UsageError, match="open to others"):
        apply(directory, directory / "none", ME, clock)
    directory.chmod(0o700)
    with pytest.raises(UsageError, match="no user"):
        apply(directory, directory / "none", "nobody-of-this-name", clock)
    if ME != "nobody":
        with pytest.raises(UsageError, match="open to others than nobody"):
            apply(directory, directory / "none", "nobody", clock)
    assert clock.set_to == []


def test_a_link_in_place_of_the_directory_is_not_followed(directory: Path, requests: Requests, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(directory)
    assert agent_main(["apply", "--from", str(link), "--user", ME]) == 4


def test_the_command_says_what_became_of_each(
    requests: Requests, directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    requests.ask(CONFIGURATION, ordered(b"text"))
    arguments = ["apply", "--from", str(directory), "--config", str(tmp_path / "agent.toml"), "--user", ME]
    assert agent_main(arguments) == 0
    assert "is written" in capsys.readouterr().out
    named(directory, b"{}")
    assert agent_main(arguments) == 4
    assert "not done" in capsys.readouterr().out


def test_a_new_life_of_the_recorder_asks_anew(requests: Requests, directory: Path) -> None:
    requests.ask(CLOCK, wanted())
    requests.close()
    assert not Requests(directory.parent).is_asked(CLOCK)


def test_root_loads_little() -> None:
    code = (
        "import sys; import agent.apply; print('\\n'.join(m for m in sys.modules if m.startswith(('agent', 'crypto'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert set(done.stdout.split()) == {
        "agent", "agent.apply", "agent.clock", "agent.durable", "agent.errors", "agent.headway", "agent.ordernumbers",
    }  # fmt: skip
