"""The counter and the log keep step over every cut, and a card that was put back is noticed at the next start."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import durable
from agent.config import Config
from agent.errors import DeviceError
from agent.evidence.findings import What
from agent.evidence.sources import collect
from agent.evidence.trust import load_root
from agent.evidence.verify import Report, verify
from agent.formats import leaf as leaves
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
    """Starts, one after the other, each of which the power may cut at each of its steps."""

    path: Path
    counter: Memory = field(default_factory=Memory)
    said: list[int | None] = field(default_factory=list)
    """What the durable session leaves say; one of them stands at each index."""

    def start(self, cut: int = 9) -> StartCounter:
        """Cut 0: nothing done; 1: claimed; 2: the leaf is durable; 3 and more: counted."""
        start = StartCounter(self.counter, self.path)
        if cut >= 1:
            with patch.object(durable, "write_file", lambda path, data, mode: path.write_bytes(data)):
                claim = start.claim(1, len(self.said))
            if cut >= 2:
                self.said.append(claim)
                if cut >= 3:
                    start.count()
        return start

    def image(self) -> tuple[bytes, list[int | None]]:
        return self.path.read_bytes(), list(self.said)

    def restore(self, image: tuple[bytes, list[int | None]]) -> None:
        self.path.write_bytes(image[0])
        self.said = list(image[1])


@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(st.integers(0, 3), min_size=1, max_size=30))
def test_whatever_is_cut_the_leaves_count_by_one_and_nobody_is_suspected(
    cuts: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    life = Life(tmp_path_factory.mktemp("life") / "counter.json")
    for cut in cuts:
        assert life.start(cut).suspicion is None
    assert life.said == list(range(41, 41 + len(life.said)))


@settings(max_examples=60, deadline=None)
@given(
    before=st.lists(st.integers(0, 3), max_size=8),
    after=st.lists(st.integers(0, 3), max_size=8),
)
def test_a_card_put_back_by_one_whole_start_or_more_is_noticed(
    before: list[int], after: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    life = Life(tmp_path_factory.mktemp("life") / "counter.json")
    for cut in [*before, 3]:
        life.start(cut)
    image, missing = life.image(), life.counter.now
    for cut in [3, *after]:
        life.start(cut)
    missing = life.counter.now - missing
    life.restore(image)
    start = life.start()
    assert start.suspicion is not None
    assert f"{missing} starts of this camera are not on it" in start.suspicion
    # It is said once; from here on counter and log are in step again, and the leaves show the jump for ever.
    assert life.start().suspicion is None
    assert life.said[-1] == life.said[-2] + 1
    assert life.said[-2] == life.said[-3] + missing + 1


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
    assert "2 starts of this camera are not on it" in vault.rollback
    vault.close()
    first, second = counters(config, vault)
    assert second == first + 3
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
        assert f"the newest session on this card says {before}: 1 starts" in status["faults"]["rollback"]
        recorder.ask("record")
        recorder.until(lambda status: status["media_s"] >= 0.5)
        assert recorder.ask("stop")["whole"]
        assert recorder.stop() == 0
    assert [f.what for f in report(config).findings if f.fails] == [What.COUNTER_JUMP]


def test_one_write_to_the_tpm_for_each_start(agency: AgencyPaths, tmp_path: Path, swtpm: SoftwareTpm) -> None:
    """That memory wears: what a life does besides starting costs none of it."""
    clock = FakeClock()
    config, counter = counted(agency, tmp_path, swtpm), NvCounter(Tpm(swtpm.path), INDEX)
    before = counter.value()
    vault = Vault(config, clock)
    for _ in range(5):
        name = vault.sealer.start_recording({"type": "record.start"})
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
