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
    newest = views[-1]
    trouble = _of_log(newest, done)
    if trouble:
        return trouble
    for view in reversed(views):
        own = done.get(view.epoch, _NOTHING)
        here = {r.segment: r for r in _owed(view, own)}
        for name, why in own.refused.items():
            record = here.get(name)
            if record and (name in own.unsendable or (view is newest and not record.kept)):
                return f"{name}: {why}"
    return ""


def of_old_logs(views: Sequence[Seen], done: Mapping[int, Achieved]) -> str:
    """An old log's trouble, where something is left of it: of account when nothing is on its way."""
    owing = (_of_log(view, done) for view in views[:-1] if _owed(view, done.get(view.epoch, _NOTHING)))
    return next((why for why in owing if why), "")


def _of_log(view: Seen, done: Mapping[int, Achieved]) -> str:
    state = done.get(view.epoch, _NOTHING)
    of_now = (why for at, why in (state.no_receipt, state.log_refused) if view.log and at == view.log.checkpoint)
    return next(of_now, "")


def standing(before: str, views: Sequence[Seen], done: Mapping[int, Achieved]) -> str:
    """After something went well: what is refused now, or what was `before`, by an earlier visit too, until its contrary
    was seen. A new try shows nothing yet.
    """
    state = done.get(views[-1].epoch, _NOTHING)
    what = before.partition(": ")[0]
    old = [own for v in views[:-1] if _owed(v, own := done.get(v.epoch, _NOTHING))]
    stands = {
        "log": not state.cosigned or any(own.log_refused[1] for own in (state, *old)),
        "receipt": not state.receipted_ns or any(own.no_receipt[1] for own in (state, *old)),
    }
    owed = {r.segment for view in views for r in _owed(view, done.get(view.epoch, _NOTHING))}
    return refused(views, done) or (before if stands.get(what, what in owed) else "")


def _owed(view: Seen, done: Achieved) -> list[SealRecord]:
    return [r for r in view.segments if r.segment not in done.receipted_ns]
