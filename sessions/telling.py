"""What the player is told while a set runs, and what of it the watchers hear with the frames."""

from typing import Any

from config import metrics
from sessions.packing import pack
from sessions.scoring.marks import Mark, Peak
from sessions.session import Session
from sessions.sets import OpenSet
from sessions.words import ADVICE

Told = dict[str, bytes]
"""What goes with the frames to the watchers, msgpack each, by the name of the event."""


def tell_mark(session: Session, mark: Mark) -> Told:
    """Tell a peak or a repetition at once; return it as the feed tells it."""
    open_set = session.open_set
    if open_set is None:
        return {}
    if isinstance(mark, Peak):
        peak: dict[str, Any] = {
            "set_no": open_set.set_no,
            "rep_no": mark.rep_no,
            "t_us": mark.t_us,
            "z": mark.z,
        }
        if mark.step is not None:
            peak |= {"step": mark.step, "in_order": mark.in_order}
        packed = pack(peak)
        session.tell("peak", packed)
        return {"peak": packed}
    return tell_rep(session, open_set, mark.values)


def tell_rep(session: Session, open_set: OpenSet, values: dict[str, Any]) -> Told:
    """Tell a repetition and keep it for those who join later."""
    body = {"set_no": open_set.set_no, **values}
    open_set.tell(body)
    metrics.REPS.labels(values["class"]).inc()
    packed = pack(body)
    session.tell("rep", packed)
    return {"rep": packed}


def tell_advice(session: Session, code: str | None) -> None:
    """Tell how the hand is tracked, when that changes."""
    if code != session.advised:
        session.advised = code
        if code is not None:
            session.send("advice", {"code": code, "text": ADVICE[code]})
