"""Three numbers in the TPM (an NV index of plain bytes), which no image of the card that is put back turns back.
Who runs as root on the camera can write them; a card, however old, cannot.
"""

from __future__ import annotations

import struct

from agent.errors import DeviceError
from agent.tpm import wire
from agent.tpm.device import Tpm, TpmSession

Three = tuple[int, int, int]
NONE: Three = (0, 0, 0)
_FORM = struct.Struct(">QQQ")


class NvNumbers:
    """Opened for each call, like the TPM itself. Raises DeviceError."""

    def __init__(self, tpm: Tpm, index: int) -> None:
        self._tpm, self._index = tpm, index

    def read(self) -> Three:
        """NONE where nothing was ever written."""
        with self._tpm.session() as session:
            if not self._state(session):
                return NONE
            body = session.run(wire.nv_read(self._index, _FORM.size), "read the highest orders")
            data = wire.parameters(body)[1].sized()
        if len(data) != _FORM.size:
            raise DeviceError(f"TPM index 0x{self._index:08x} gives {len(data)} bytes", "check the TPM")
        first, second, third = _FORM.unpack(data)
        return first, second, third

    def write(self, numbers: Three) -> None:
        """One write to the TPM's memory, which wears; the index is made where there is none."""
        with self._tpm.session() as session:
            if self._state(session) is None:
                made = wire.nv_define_plain(self._index, _FORM.size)
                session.run(made, f"make room for the highest orders at 0x{self._index:08x}")
            session.run(wire.nv_write(self._index, _FORM.pack(*numbers)), "keep the highest orders")

    def _state(self, session: TpmSession) -> bool | None:
        """None: not there; else whether it was ever written."""
        code, body = session.try_run(wire.nv_read_public(self._index))
        if wire.is_absent(code):
            return None
        if code:
            raise wire.refusal(code, f"show its index 0x{self._index:08x}")
        ours, written = wire.nv_is_plain(wire.Reader(body), _FORM.size)
        if not ours:
            raise DeviceError(
                f"TPM index 0x{self._index:08x}, the one beside rollback_counter, is somebody else's",
                "provision the camera with a counter beside which an index is free",
            )
        return written
