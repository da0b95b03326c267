"""Which segments hold a mark, from one process to the next, and never on the card."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from agent import events
from agent.dock.outgoing import marked_in
from agent.spool.marked import MAX_MARKED, Marked
from agent.station.layout import AgencyPaths
from agent.vault import Vault
from tests.camera_kit import FakeClock
from tests.recorder_kit import make_config


def test_a_restart_forgets_no_mark_and_a_boot_all(tmp_path: Path) -> None:
    kept = Marked(tmp_path, "one")
    for name in ("a", "b", "a"):
        kept.add(name)
    assert list(Marked(tmp_path, "one")) == ["a", "b"]
    assert list(Marked(tmp_path, "another")) == []
    Marked(tmp_path, "another").add("c")
    assert list(Marked(tmp_path, "another")) == ["c"]


def test_the_newest_are_kept(tmp_path: Path) -> None:
    kept = Marked(tmp_path, "one")
    for number in range(MAX_MARKED + 2):
        kept.add(f"r{number:010d}-00000000-0000")
    assert list(Marked(tmp_path, "one")) == list(kept)
    assert (len(list(kept)), list(kept)[-1]) == (MAX_MARKED, f"r{MAX_MARKED + 1:010d}-00000000-0000")


@pytest.mark.parametrize("harm", [lambda p: p.unlink(), lambda p: p.write_bytes(b"\xff"), lambda p: p.write_bytes(b"")])
def test_what_cannot_be_read_or_kept_is_no_error(tmp_path: Path, harm: Callable[[Path], object]) -> None:
    Marked(tmp_path, "one").add("a")
    harm(tmp_path / "marked")
    assert list(Marked(tmp_path, "one")) == []
    nowhere = Marked(tmp_path / "gone", "one")
    nowhere.add("a")
    assert list(nowhere) == ["a"]


def test_a_recorder_that_starts_anew_still_has_marked_ones_sent_first_and_the_card_tells_none(
    agency: AgencyPaths, tmp_path: Path
) -> None:
    config, clock = make_config(agency, tmp_path), FakeClock()
    vault = Vault(config, clock)
    name = vault.start_recording({"type": "record.start", "trigger": "test"})
    vault.say({"type": events.Mark.NAME, "text": "he drops the bag"}, name)
    marked = vault.sealer.open_name
    assert marked
    vault.sealer.seal_open()
    vault.tell_dock(False)
    vault.close()
    spool = config.spool.dir
    assert not [p for p in spool.rglob("*") if p.is_file() and p.stem != marked and b"mark" in p.read_bytes()]
    again = Vault(config, clock)
    again.tell_dock(True)
    assert marked_in(spool / "outbox") == {marked}
    again.tell_dock(False)
    assert marked_in(spool / "outbox") == frozenset()
    again.close()
    booted = Vault(config, FakeClock(boot_id="99999999-2222-3333-4444-555555555555"))
    booted.tell_dock(True)
    assert marked_in(spool / "outbox") == frozenset()
    booted.close()
