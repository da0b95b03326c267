"""A counter in the TPM that only goes up (NV index of type COUNTER): no card, however old its image, turns it back.

A new index starts above every counter this TPM ever had (part 3, TPM2_NV_Increment), so neither does undefining it.
"""

from __future__ import annotations

from agent.errors import DeviceError
from agent.tpm import wire
from agent.tpm.device import Tpm, TpmSession


class NvCounter:
    """Opened for each call, like the TPM itself. Raises DeviceError."""

    def __init__(self, tpm: Tpm, index: int) -> None:
        self._tpm, self._index = tpm, index

    def ensure(self) -> bool:
        """Make it where it is not there; true where it was made."""
        with self._tpm.session() as session:
            made = self._state(session) is None
            if made:
                session.run(wire.nv_define_counter(self._index), f"make a counter at 0x{self._index:08x}")
            if not self._state(session):
                # An index that was never written has no value yet.
                session.run(wire.nv_increment(self._index), "count")
        return made

    def value(self) -> int:
        with self._tpm.session() as session:
            if not self._state(session):
                raise DeviceError(f"there is no counter at TPM index 0x{self._index:08x}", "provision the camera")
            return self._read(session)

    def increment(self) -> int:
        """One more; returns the new value. One write to the TPM's memory, which wears."""
        with self._tpm.session() as session:
            session.run(wire.nv_increment(self._index), "count")
            return self._read(session)

    def _read(self, session: TpmSession) -> int:
        body = session.run(wire.nv_read_counter(self._index), "read its counter")
        return int.from_bytes(wire.parameters(body)[1].sized(), "big")

    def _state(self, session: TpmSession) -> bool | None:
        """None: not there; else whether it was ever incremented."""
        code, body = session.try_run(wire.nv_read_public(self._index))
        if wire.is_absent(code):
            return None
        if code:
            raise wire.refusal(code, f"show its index 0x{self._index:08x}")
        counter, written = wire.nv_is_counter(wire.Reader(body))
        if not counter:
            raise DeviceError(f"TPM index 0x{self._index:08x} is no counter", "name another index")
        return written
