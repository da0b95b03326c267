"""The highest orders in a real software TPM, and as tpm2-tools reads them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.errors import DeviceError
from agent.tpm.counter import NvCounter
from agent.tpm.device import Tpm
from agent.tpm.numbers import NONE, NvNumbers
from tests.tpm.kit import SoftwareTpm, software_tpm

INDEX = 0x01800101


@pytest.fixture
def chip(tmp_path: Path) -> Iterator[SoftwareTpm]:
    with software_tpm(tmp_path) as made:
        yield made


def test_what_is_written_stays_over_power_cycles_beside_the_counter(chip: SoftwareTpm) -> None:
    counter, numbers = NvCounter(Tpm(chip.path), INDEX - 1), NvNumbers(Tpm(chip.path), INDEX)
    counter.ensure()
    assert numbers.read() == NONE
    three = (1_780_000_000, (1 << 53) - 1, 7)
    numbers.write((1, 2, 3))
    numbers.write(three)
    before = counter.value()
    chip.stop()
    chip.start()
    assert numbers.read() == three and counter.value() == before
    told = subprocess.run(
        ["tpm2_nvread", "-T", chip.tcti, "-C", f"0x{INDEX:08x}", f"0x{INDEX:08x}"], capture_output=True, check=True
    )
    assert told.stdout == b"".join(number.to_bytes(8, "big") for number in three)
    # As docs/operations.md has it, on an inspected camera.
    subprocess.run(["tpm2_nvundefine", "-T", chip.tcti, "-C", "o", f"0x{INDEX:08x}"], capture_output=True, check=True)
    assert numbers.read() == NONE


def test_an_index_that_is_somebody_elses_is_neither_read_nor_written(chip: SoftwareTpm) -> None:
    NvCounter(Tpm(chip.path), INDEX).ensure()
    numbers = NvNumbers(Tpm(chip.path), INDEX)
    with pytest.raises(DeviceError, match="somebody else's"):
        numbers.read()
    with pytest.raises(DeviceError, match="somebody else's"):
        numbers.write((1, 2, 3))


def test_where_there_is_no_tpm_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="no TPM at"):
        NvNumbers(Tpm(tmp_path / "none"), INDEX).read()
