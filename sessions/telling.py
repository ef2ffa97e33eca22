"""What the player is told while a set runs, and what of it the watchers hear with the frames."""

from typing import Any

from config import metrics
from sessions.scoring.marks import Advice, Mark, Peak
from sessions.session import Session
from sessions.sets import OpenSet
from sessions.words import ADVICE, advice_code


def tell_mark(session: Session, mark: Mark) -> dict[str, Any]:
    """Tell a peak or a repetition at once; return it as the feed tells it."""
    open_set = session.set
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
        session.send("peak", peak)
        return {"peak": peak}
    return tell_rep(session, open_set, mark.values)


def tell_rep(session: Session, open_set: OpenSet, values: dict[str, Any]) -> dict[str, Any]:
    """Tell a repetition and keep it for those who join later."""
    body = {"set_no": open_set.set_no, **values}
    open_set.reps.append(body)
    metrics.REPS.labels(values["class"]).inc()
    session.send("rep", body)
    return {"rep": body}


def tell_advice(session: Session, advice: Advice) -> None:
    """Tell how the hand is tracked, when that changes."""
    code = advice_code(advice)
    if code != session.advised:
        session.advised = code
        if code is not None:
            session.send("advice", {"code": code, "text": ADVICE[code]})
