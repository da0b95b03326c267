"""The counter and the log keep step over every cut, and a card that was put back is noticed at the next start."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent import durable
from agent.config import Config
from agent.errors import DeviceError, StorageError
from agent.evidence.decrypt import decrypt
from agent.evidence.findings import What
from agent.evidence.opening import load_identities
from agent.evidence.sources import collect
from agent.evidence.trust import load_root
from agent.evidence.verify import Report, verify
from agent.formats import leaf as leaves
from agent.sealing.writer import SegmentWriter
from agent.startcounter import StartCounter
from agent.station.layout import AgencyPaths
from agent.tpm.counter import NvCounter
from agent.tpm.device import Tpm
from agent.vault import Vault
from tests.camera_kit import FakeClock, all_leaves_of
from tests.recorder_kit import RecorderProcess, make_config
from tests.tpm.kit import SoftwareTpm, software_tpm

INDEX = 0x01800100


@dataclass
class Memory:
    """A counter in memory, that may fail."""

    now: int = 40
    broken: bool = False

    def value(self) -> int:
        if self.broken:
            raise DeviceError("no TPM")
        return self.now

    def increment(self) -> int:
        self.now = self.value() + 1
        return self.now


@dataclass
class Life:
    """Starts of the recorder and of recordings, one after the other, each of which the power may cut at each step."""

    path: Path
    counter: Memory = field(default_factory=Memory)
    said: list[int | None] = field(default_factory=list)
    """What the durable leaves say; one of them stands at each index of the log."""

    def start(self, cut: int = 3) -> StartCounter:
        """Cut 0: nothing done; 1: claimed; 2: the leaf is durable; 3: counted."""
        start = StartCounter(self.counter, self.path, True, self.facts_at)
        if cut >= 1:
            with durably_written():
                claim = start.claim(1, len(self.said))
            if cut >= 2:
                self.said.append(claim)
            if cut >= 3:
                start.count()
        return start

    def record(self, start: StartCounter, cut: int = 3) -> bool:
        """The same in a session that goes on. Cut 4: the disk refuses the leaf, and takes another in its place; 5: it
        refuses the withdrawal, too; 6: even the claim. True where the power is still there.
        """
        with refusing(len(self.said) % 2 == 0) if cut == 6 else durably_written():
            claim = start.claim_recording(1, len(self.said)) if cut else None
        if cut >= 4:
            with durably_written() if cut == 4 else refusing(len(self.said) % 2 == 0):
                start.withdraw()
            self.said.append(None)
        elif cut >= 2:
            self.said.append(claim)
        if cut == 3:
            start.count()
        return cut >= 3

    def live(self, cuts: list[int]) -> list[str]:
        """One start and its recordings after the other; each cut below 3 ends a life. Returns what was suspected."""
        found, start = [], None
        for cut in cuts:
            if start is None:
                start = self.start(min(cut, 3))
                found += [start.suspicion] if start.suspicion else []
                start = start if cut >= 3 else None
            elif not self.record(start, cut):
                start = None
        return found

    def facts_at(self, epoch: int, index: int) -> dict[str, object] | None:
        return {"counter": self.said[index]} if epoch == 1 and index < len(self.said) else None

    def counted(self) -> list[int]:
        return [value for value in self.said if value is not None]

    def image(self) -> tuple[bytes, list[int | None]]:
        return self.path.read_bytes(), list(self.said)

    def restore(self, image: tuple[bytes, list[int | None]]) -> None:
        self.path.write_bytes(image[0])
        self.said = list(image[1])


def durably_written() -> AbstractContextManager[object]:
    """Without the waiting for a disk."""
    return patch.object(durable, "write_file", lambda path, data, mode: path.write_bytes(data))


def refusing(writes: bool) -> AbstractContextManager[object]:
    """A disk that says no, and may have written all the same."""

    def write(path: Path, data: bytes, mode: int) -> None:
        if writes:
            path.write_bytes(data)
        raise StorageError("I/O error")

    return patch.object(durable, "write_file", write)


@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(st.integers(0, 6), min_size=1, max_size=40))
@example(cuts=[3, 5, 0, 3])
@example(cuts=[3, 3, 6, 0, 3])
def test_whatever_is_cut_the_leaves_count_by_one_and_nobody_is_suspected(
    cuts: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    life = Life(tmp_path_factory.mktemp("life") / "counter.json")
    assert life.live(cuts) == []
    assert life.counted() == list(range(41, 41 + len(life.counted())))


@settings(max_examples=60, deadline=None)
@given(
    before=st.lists(st.integers(0, 4), max_size=8),
    recordings=st.integers(0, 3),
    after=st.lists(st.integers(0, 4), max_size=8),
)
def test_a_card_put_back_by_one_count_or_more_is_noticed(
    before: list[int], recordings: int, after: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """By a start of the recorder or only by recordings, as where the end of the log was cut off."""
    life = Life(tmp_path_factory.mktemp("life") / "counter.json")
    life.live(before)
    start = life.start()
    image, missing = life.image(), life.counter.now
    for _ in range(recordings):
        life.record(start)
    if not recordings:
        life.live([3, *after])
    missing = life.counter.now - missing
    life.restore(image)
    again = life.start()
    assert again.suspicion is not None
    assert f"what was counted {missing} times since is not on it" in again.suspicion
    # It is said once; from here on counter and log are in step again, and the leaves show the jump for ever.
    assert life.start().suspicion is None
    *_, earlier, jumped, newest = life.counted()
    assert (newest, jumped) == (jumped + 1, earlier + missing + 1)


def test_without_being_asked_for_no_recording_is_counted(tmp_path: Path) -> None:
    start = StartCounter(counter := Memory(), tmp_path / "counter.json")
    start.claim(1, 0)
    start.count()
    assert start.claim_recording(1, 1) is None
    start.count()
    assert counter.now == 41


def test_a_recording_waits_neither_for_the_hardware_nor_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = Life(tmp_path / "counter.json")
    start = life.start()
    life.counter.broken = True
    assert start.claim_recording(1, 1) == 42
    start.count()
    assert start.trouble is not None
    assert start.claim_recording(1, 2) is None

    def refuse(*_: object) -> None:
        raise StorageError("full")

    life.counter.broken = False
    start = life.start()
    monkeypatch.setattr(durable, "write_file", refuse)
    assert start.claim_recording(1, 9) is None


def test_a_withdrawal_that_the_disk_refuses_is_made_up_for_before_the_next_leaf(tmp_path: Path) -> None:
    """So nobody is accused where the segment with that leaf is gone by the next start, either."""
    life = Life(tmp_path / "counter.json")
    life.record(start := life.start(), cut=5)
    assert json.loads(life.path.read_bytes())["counter"] == 42
    with durably_written():
        start.settle()
    assert json.loads(life.path.read_bytes())["counter"] == 41
    again = StartCounter(life.counter, life.path, recordings=True)
    assert (again.claim(1, 2), again.suspicion) == (42, None)


@pytest.mark.parametrize("settles", [True, False])
def test_a_start_leaf_that_the_disk_refused_with_its_withdrawal_is_no_older_card(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settles: bool
) -> None:
    """The disk fails for a moment; an event takes the leaf's place in the log."""
    counter, config, clock = Memory(), make_config(agency, tmp_path), FakeClock()
    config = replace(config, sealing=replace(config.sealing, count_recordings=True))
    monkeypatch.setattr("agent.vault.counter_of", lambda config: counter)
    vault = Vault(config, clock)
    with monkeypatch.context() as failing:
        real = durable.write_file

        def write(path: Path, *how: Any) -> None:
            if path.name == "counter.json" and b'index": 1' in path.read_bytes():
                raise StorageError("I/O error")
            real(path, *how)

        def append(*_: object) -> None:
            raise StorageError("I/O error")

        failing.setattr(durable, "write_file", write)
        with monkeypatch.context() as refused:
            refused.setattr(SegmentWriter, "append", append)
            with pytest.raises(StorageError):
                vault.start_recording({"type": "record.start"})
        if settles:
            failing.undo()
        vault.say({"type": "heartbeat"}, None)
    vault.close()
    vault = Vault(config, clock)
    vault.close()
    assert vault.rollback is None and counter.now == 42
    assert counters(config, vault) == [41, 42]
    assert report(config).verified


def test_a_card_of_another_camera(tmp_path: Path) -> None:
    life = Life(tmp_path / "counter.json")
    for _ in range(5):
        life.start()
    life.counter.now = 7
    start = life.start()
    assert start.suspicion is not None
    assert "of another camera, or the TPM was exchanged" in start.suspicion


def test_a_counter_that_fails_stops_nothing_and_is_made_up_for(tmp_path: Path) -> None:
    life = Life(tmp_path / "counter.json")
    life.start()
    life.counter.broken = True
    silent = life.start()
    assert silent.trouble is not None and silent.suspicion is None
    life.counter.broken = False
    life.start(cut=2)
    assert life.start().suspicion is None
    assert life.said == [41, None, 42, 43]


@pytest.mark.parametrize("note", [b"", b"{", b"[]", b'{"counter":"1","epoch":1,"index":0}', b"[" * 9999, b"\xff"])
def test_a_note_that_is_lost_or_spoiled_accuses_nobody(tmp_path: Path, note: bytes) -> None:
    life = Life(tmp_path / "counter.json")
    life.start()
    life.path.write_bytes(note)
    assert life.start().suspicion is None
    assert life.said == [41, 42]


@pytest.mark.parametrize(("size", "counted", "says"), [(3, 40, 41), (3, 41, 42), (4, 40, 42), (4, 41, 42)])
def test_a_log_that_ended_before_a_counted_leaf_takes_its_count_along(
    tmp_path: Path, size: int, counted: int, says: int
) -> None:
    """Leaf 3 was to say 41: it became durable or not, and the hardware had counted it or not."""
    counter, path = Memory(), tmp_path / "counter.json"
    with durably_written():
        assert StartCounter(counter, path).claim(1, 3) == 41
        counter.now = counted
        again = StartCounter(counter, path)
        assert again.claim(2, 0, (1, size)) == says
    assert again.suspicion is None


@pytest.mark.parametrize("lives", [1, 3])
@pytest.mark.parametrize("epoch", [False, True], ids=["the note alone", "and an epoch that never began"])
def test_an_older_card_without_the_note_is_noticed_by_what_its_log_says(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lives: int, epoch: bool
) -> None:
    config, counter = make_config(agency, tmp_path), Memory()
    monkeypatch.setattr("agent.vault.counter_of", lambda config: counter)
    spool = config.spool.dir

    def live(boot: int) -> Vault:
        vault = Vault(config, FakeClock(boot_id=f"{boot}1111111-2222-3333-4444-555555555555"))
        vault.close()
        return vault

    live(1)
    shutil.copytree(spool, tmp_path / "image")
    (spool / "log" / "counter.json").unlink()
    # A note that is lost accuses nobody.
    assert [live(2 + n).rollback for n in range(lives)] == [None] * lives
    shutil.rmtree(spool)
    shutil.copytree(tmp_path / "image", spool)
    (spool / "log" / "counter.json").unlink()
    if epoch:
        (spool / "log" / "2").mkdir()
        (spool / "log" / "2" / "epoch.json").write_text('{"v":1,"epoch":{"reason":"damaged"},"detail":"x"}')
    vault = live(7)
    assert (vault.epoch, vault.rollback is None) == (1, False)
    assert f"{lives} times since" in str(vault.rollback)


def test_another_epoch_goes_on_counting(tmp_path: Path) -> None:
    start = StartCounter(Memory(), tmp_path / "counter.json")
    assert start.claim(1, 8) == 41
    start.count()
    assert start.claim(2, 0) == 42
    start.count()
    assert StartCounter(Memory(42), tmp_path / "counter.json").claim(2, 5) == 43


# -- on a real swtpm -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def swtpm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftwareTpm]:
    with software_tpm(tmp_path_factory.mktemp("swtpm")) as tpm:
        NvCounter(Tpm(tpm.path), INDEX).ensure()
        yield tpm


def counted(agency: AgencyPaths, root: Path, tpm: SoftwareTpm) -> Config:
    config = make_config(agency, root)
    return replace(config, sealing=replace(config.sealing, tpm_device=tpm.path, rollback_counter=INDEX))


def report(config: Config) -> Report:
    return verify(collect([config.spool.dir]), load_root(config.dock.ca))


def counters(config: Config, vault: Vault) -> list[object]:
    found = all_leaves_of(vault.spool)
    return [x.facts.get("counter") for x in found if isinstance(x, leaves.EventLeaf) and x.kind is leaves.Kind.SESSION]


def test_a_card_rolled_back_is_noticed_at_start_and_by_the_verifier(
    agency: AgencyPaths, tmp_path: Path, swtpm: SoftwareTpm
) -> None:
    clock = FakeClock()
    config, old = counted(agency, tmp_path, swtpm), tmp_path / "old"
    Vault(config, clock).close()
    shutil.copytree(config.spool.dir, old)
    for _ in range(2):
        vault = Vault(config, clock)
        assert vault.rollback is None
        vault.close()
    assert report(config).verified
    shutil.rmtree(config.spool.dir)
    shutil.copytree(old, config.spool.dir)
    vault = Vault(config, clock)
    assert vault.rollback is not None
    assert "what was counted 2 times since is not on it" in vault.rollback
    vault.close()
    first, second = counters(config, vault)
    assert second == first + 3
    assert [f.what for f in report(config).findings if f.fails] == [What.COUNTER_JUMP]


def test_a_recording_cut_off_the_end_is_noticed_where_recordings_are_counted(
    agency: AgencyPaths, tmp_path: Path, swtpm: SoftwareTpm
) -> None:
    """The card is made to look as if the newest session had recorded nothing, and lost its power then."""
    clock = FakeClock()
    config, old = counted(agency, tmp_path, swtpm), tmp_path / "old"
    config = replace(config, sealing=replace(config.sealing, count_recordings=True))
    vault = Vault(config, clock)
    vault.sealer.seal_open()
    shutil.copytree(config.spool.dir, old)
    name = vault.start_recording({"type": "record.start"})
    vault.sealer.stop_recording(name, {"type": "record.stop"})
    vault.close()
    shutil.rmtree(config.spool.dir)
    shutil.copytree(old, config.spool.dir)
    vault = Vault(config, clock)
    assert vault.rollback is not None
    assert "what was counted 1 times since is not on it" in vault.rollback
    vault.close()
    assert [f.what for f in report(config).findings if f.fails] == [What.COUNTER_JUMP]


def test_the_recorder_shows_and_logs_it_and_records(agency: AgencyPaths, tmp_path: Path, swtpm: SoftwareTpm) -> None:
    clock = FakeClock()
    config = counted(agency, tmp_path, swtpm)
    Vault(config, clock).close()
    note = config.spool.dir / "log" / "counter.json"
    before = json.loads(note.read_bytes())["counter"]
    # As if another card had been in the camera meanwhile.
    NvCounter(Tpm(swtpm.path), INDEX).increment()
    with RecorderProcess(config, tmp_path) as recorder:
        status = recorder.until(lambda status: status["state"] == "ready")
        assert f"the newest count on this card is {before}: what was counted 1 times" in status["faults"]["rollback"]
        recorder.ask("record")
        recorder.until(lambda status: status["media_s"] >= 0.5)
        assert recorder.ask("stop")["whole"]
        assert recorder.stop() == 0
    assert [f.what for f in report(config).findings if f.fails] == [What.COUNTER_JUMP]
    decrypt(collect([config.spool.dir]).segments, load_identities(agency.agency_identity), tmp_path / "clear")
    said = [json.loads(path.read_bytes()) for path in (tmp_path / "clear").glob("*/*.json")]
    (fault,) = [body for body in said if body["type"] == "fault" and body["what"] == "rollback"]
    assert "as if it was put back to an older state" in fault["detail"]


def test_one_write_to_the_tpm_for_each_start(agency: AgencyPaths, tmp_path: Path, swtpm: SoftwareTpm) -> None:
    """That memory wears: what a life does besides starting costs none of it."""
    clock = FakeClock()
    config, counter = counted(agency, tmp_path, swtpm), NvCounter(Tpm(swtpm.path), INDEX)
    before = counter.value()
    vault = Vault(config, clock)
    for _ in range(5):
        name = vault.start_recording({"type": "record.start"})
        vault.sealer.stop_recording(name, {"type": "record.stop"})
    vault.close()
    assert counter.value() == before + 1


def test_without_its_tpm_the_session_is_not_counted_and_that_is_shown(agency: AgencyPaths, tmp_path: Path) -> None:
    clock = FakeClock()
    with software_tpm(tmp_path) as tpm:
        NvCounter(Tpm(tpm.path), INDEX).ensure()
        config = counted(agency, tmp_path / "camera", tpm)
        Vault(config, clock).close()
        tpm.stop()
        with RecorderProcess(config, tmp_path / "camera") as recorder:
            status = recorder.until(lambda status: status["state"] == "ready" and "counter" in status["faults"])
            assert status["faults"]["counter"].startswith("no TPM at")
            assert recorder.stop() == 0
        tpm.start()
        vault = Vault(config, clock)
        assert vault.rollback is None
        vault.close()
    found = report(config)
    assert found.verified
    assert What.COUNTER_SILENT in {f.what for f in found.findings}
