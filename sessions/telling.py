"""What the player is told while a set runs, and what of it the watchers hear with the frames."""

from typing import Any

from config import metrics
from sessions.scoring.batch import Batch
from sessions.scoring.marks import Mark, Peak
from sessions.session import Session
from sessions.sets import OpenSet
from sessions.views import score_of
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


def tell_score(session: Session, batch: Batch, now: float, every_ms: int) -> None:
    """Tell the score of now, not more often than every `every_ms`, and advice when it changes."""
    if (now - session.scored_at) * 1000 < every_ms or session.set is None:
        return
    session.scored_at = now
    score = score_of(session, batch)
    if score is not None:
        session.send("score", score)
    advice = advice_code(batch.advice(session.set.slot))
    if advice != session.advised:
        session.advised = advice
        if advice is not None:
            session.send("advice", {"code": advice, "text": ADVICE[advice]})
