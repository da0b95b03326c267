"""What of a range the camera's identity key vouches for: leaves below the size of a head here that it signed
(docs/evidence-format.md, sections 2 and 9).
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.evidence.findings import Finding, Sure, What
from agent.evidence.rangeview import RangeView
from agent.formats.leaf import IDENTITY_KINDS

NOBODY = (
    "leads to no checkpoint here that the camera's identity key signed: somebody who had taken the key of its session "
    "could have written it. Hardware that failed for good leaves the same, and nothing here tells one from the other"
)
OTHER = (
    "leads to a checkpoint that the identity key signed for another session, and to none for its own: its hardware did "
    "not answer up to the end, or somebody who had taken this session's key wrote on in its name"
)
BEYOND = (
    "no checkpoint that the identity key signed is of these leaves: the session's key alone speaks for them, as for "
    "what was just recorded, and somebody who had taken it could have written them"
)


def tell_unvouched(view: RangeView) -> Iterator[Finding]:
    """Leaves that must have the identity key's word and do not, by failures and notes; of the others those that are
    beyond all that it signed.
    """
    most = max((head.point.size for head in view.head.identity), default=0)
    failed = False
    for index in sorted(i for i, leaf in view.proven.items() if leaf.kind in IDENTITY_KINDS):
        if index >= most:
            failed = True
            yield _finding(view, What.MISSING_SIGNATURE, NOBODY, index)
        elif index >= _own(view, index):
            yield _finding(view, What.IDENTITY_SILENT, OTHER, index)
    beyond = [index for index in view.proven if index >= most]
    if beyond and not failed:
        text = f"{view.name}: {BEYOND}"
        yield Finding(What.IDENTITY_SILENT, text, first=min(beyond), last=max(beyond), sure=Sure.OPEN)


def _own(view: RangeView, index: int) -> int:
    """How many leaves the identity key vouches for in the name of the session that wrote this one."""
    session = view.head.sessions.get(view.proven[index].chain)
    signed = (head for head in view.head.identity if session is not None and head.signer == session.certificate_der)
    return max((head.point.size for head in signed), default=0)


def _finding(view: RangeView, what: What, text: str, index: int) -> Finding:
    kind = view.proven[index].kind
    told = f"{view.name}: leaf {index}, of kind {kind.value if kind is not None else 'none'}, {text}"
    return Finding(what, told, recording=view.told.recording if view.told else None, first=index, sure=Sure.OPEN)
