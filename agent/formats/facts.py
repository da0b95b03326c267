"""The public facts of an event leaf: which ones its kind must have, and of which form (docs/evidence-format.md,
section 3). What they say of other leaves is for the verifier to judge.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from agent.errors import EvidenceError
from agent.formats import merkle, note
from agent.formats.leaf import HEX, Kind
from agent.formats.pack import SEGMENT_NAME

Form = Callable[[object], bool]


def _like(pattern: re.Pattern[str]) -> Form:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def _number(least: int) -> Form:
    return lambda value: type(value) is int and least <= value < 1 << 63


def _or_null(form: Form) -> Form:
    return lambda value: value is None or form(value)


def _keys(**forms: Form) -> Form:
    return lambda value: isinstance(value, Mapping) and all(k in value and form(value[k]) for k, form in forms.items())


def _list(form: Form) -> Form:
    return lambda value: isinstance(value, list) and all(map(form, value))


def _text(value: object) -> bool:
    return isinstance(value, str)


def _root(value: object) -> bool:
    """Base64, in its one spelling, of a SHA-256."""
    try:
        return isinstance(value, str) and len(note.unb64(value)) == merkle.HASH_SIZE
    except EvidenceError:
        return False


def _flag(value: object) -> bool:
    return type(value) is bool


_HEX, _SEGMENT, _WHOLE = _like(HEX), _like(SEGMENT_NAME), _number(0)
_FORMS: Mapping[Kind, Mapping[str, Form]] = {
    Kind.SESSION: {
        "session_cert": _HEX,
        "resumes": _or_null(_keys(size=_WHOLE, root=_root)),
        "receipt": _or_null(_HEX),
        "agent": _text,
    },
    Kind.STOP: {"parts": _WHOLE, "interrupted": lambda value: value is False},
    Kind.RECOVERY: {"segment": _SEGMENT, "entries": _WHOLE, "torn_bytes": _WHOLE},
    Kind.SEAL: {"segment": _SEGMENT, "size": _WHOLE, "sha256": _HEX, "first": _WHOLE, "entries": _WHOLE},
    Kind.DELIVERY: {"receipt": _HEX, "segments": _list(_SEGMENT)},
    Kind.DELETION: {"segments": _list(_keys(segment=_SEGMENT, sha256=_HEX, receipt=_HEX))},
    Kind.KEPT: {
        "segments": _list(_keys(segment=_SEGMENT, epoch=_number(1), size=_WHOLE, sha256=_HEX, whole=_flag)),
    },
}
_CUT: Mapping[str, Form] = {"parts": _WHOLE, "interrupted": lambda value: value is True}
"""A `recovery` leaf has both where a recording was cut, or neither."""


def wrong(kind: Kind, facts: Mapping[str, object]) -> str | None:
    """The first fact that the kind must have, and that is not there or of another form."""
    forms = dict(_FORMS.get(kind, {}))
    if kind is Kind.RECOVERY and not _CUT.keys().isdisjoint(facts):
        forms |= _CUT
    return next((key for key, form in forms.items() if key not in facts or not form(facts[key])), None)
