"""What the log says of a lens or microphone that gives something, and not as it should: pictures and blocks that are
lost, stamps that cannot be, gaps. It begins, and what it came to follows when it is over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from agent.eventbody import Noticed


@dataclass(frozen=True, slots=True)
class CameraIrregular(Noticed):
    NAME: ClassVar[str] = "camera.irregular"


@dataclass(frozen=True, slots=True)
class CameraRegular(Noticed):
    NAME: ClassVar[str] = "camera.regular"


@dataclass(frozen=True, slots=True)
class MicrophoneIrregular(Noticed):
    NAME: ClassVar[str] = "microphone.irregular"


@dataclass(frozen=True, slots=True)
class MicrophoneRegular(Noticed):
    NAME: ClassVar[str] = "microphone.regular"


@dataclass(frozen=True, slots=True)
class MicrophoneClipped(Noticed):
    NAME: ClassVar[str] = "microphone.clipped"


@dataclass(frozen=True, slots=True)
class MicrophoneClean(Noticed):
    NAME: ClassVar[str] = "microphone.clean"


ALL: tuple[type[Noticed], ...] = (
    *(CameraIrregular, CameraRegular, MicrophoneIrregular, MicrophoneRegular),
    *(MicrophoneClipped, MicrophoneClean),
)
