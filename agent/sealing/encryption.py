"""What is to be kept, encrypted to the agency. Where that fails nothing is written, least of all in the clear: it is
told as a disk that refuses, so that what waits is tried again, and lost only where memory ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from agent.errors import EncryptionError, reason
from agent.formats import age

T = TypeVar("T")


class Encryption:
    """To these recipients. Raises EncryptionError, whatever it is that fails: the random source, the cipher, a key."""

    def __init__(self, recipients: tuple[age.Recipient, ...]) -> None:
        self._recipients = recipients
        self.recipients_sha256 = age.recipient_set_hash(recipients)

    def seal(self, plain: bytes) -> age.SealedFile:
        """As an age file of its own."""
        return _told(lambda: age.encrypt(plain, self._recipients))

    def check(self) -> None:
        """Something can be encrypted now."""
        self.seal(b"")

    def draw(self, size: int) -> bytes:
        """Of the random source: salts, and what makes a name unique."""
        return _told(lambda: os.urandom(size))


def _told(action: Callable[[], T]) -> T:
    try:
        return action()
    except Exception as err:
        # Also where it is a defect of ours: what could not be encrypted now may be in half a second.
        raise EncryptionError(f"what is recorded cannot be encrypted: {reason(err)}", "restart the recorder") from err
