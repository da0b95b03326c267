"""What the station, or the card, refuses for good: a person has to hear of it, whatever else goes on meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agent.dock.uploading import Achieved, Seen
from agent.formats.seal import SealRecord

_NOTHING = Achieved()


def refused(views: Sequence[Seen], done: Mapping[int, Achieved]) -> str:
    """Of what there is, as this visit has it; "" where nothing is. The log's trouble first: it may be the cause of the
    segments'. What is kept under the newest log's receipt is on its way.
    """
    newest, state = views[-1], done.get(views[-1].epoch, _NOTHING)
    for at, why in (state.no_receipt, state.log_refused):
        if newest.log and at == newest.log.checkpoint:
            return why
    for view in reversed(views):
        own = done.get(view.epoch, _NOTHING)
        here = {r.segment: r for r in _owed(view, own)}
        for name, why in own.refused.items():
            record = here.get(name)
            if record and (name in own.unsendable or (view is newest and not record.kept)):
                return f"{name}: {why}"
    return ""


def standing(before: str, views: Sequence[Seen], done: Mapping[int, Achieved]) -> str:
    """After something went well: what is refused now, or what was `before`, by an earlier visit too, until its contrary
    was seen. A new try shows nothing yet.
    """
    state = done.get(views[-1].epoch, _NOTHING)
    what = before.partition(": ")[0]
    stands = {
        "log": not state.cosigned or bool(state.log_refused[1]),
        "receipt": not state.receipted_ns or bool(state.no_receipt[1]),
    }
    owed = {r.segment for view in views for r in _owed(view, done.get(view.epoch, _NOTHING))}
    return refused(views, done) or (before if stands.get(what, what in owed) else "")


def _owed(view: Seen, done: Achieved) -> list[SealRecord]:
    return [r for r in view.segments if r.segment not in done.receipted_ns]
