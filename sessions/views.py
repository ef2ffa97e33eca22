"""What a session looks like from outside: its score now, a snapshot, a line in a list."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgpack

from sessions.feed import Joined
from sessions.frames import decode
from sessions.packing import packed_scores
from sessions.scoring.batch import Batch
from sessions.scoring.marks import Live
from sessions.session import Session


def _score_of(session: Session, batch: Batch) -> dict[str, Any] | None:
    """Return the set as it stands at its latest accepted frame; None when there is none."""
    if session.open_set is None:
        return None
    (told,) = packed_scores([session.open_set], batch.look([session.open_set.slot]))
    score: dict[str, Any] | None = msgpack.unpackb(told) if told else None
    return score


def joined_of(session: Session, batch: Batch, offset: int, time_us: int) -> Joined:
    """Return what a watcher starts from who stands at `offset` of the feed."""
    return Joined(session.id, snapshot_of(session, batch, time_us), session.token, offset)


def snapshot_of(session: Session, batch: Batch, time_us: int) -> dict[str, Any]:
    """Return what a joining watcher is shown at once."""
    open_set = session.open_set
    shown = None
    if open_set is not None:
        shown = {
            **{k: open_set.start[k] for k in ("set_no", "motion", "side", "asked_reps")},
            "anchors": open_set.context["anchors"],
            "goal": open_set.context["goal"],
        }
    score = _score_of(session, batch)
    return {
        "session_id": session.id,
        "alias": session.opened.alias,
        "state": session.state.value,
        "set": shown,
        "reps": list(open_set.reps) if open_set is not None else [],
        "score": score,
        "quality": score["quality"] if score is not None else None,
        "frames": _last_hands(session.recent),
        "trace": [list(p) for p in batch.trace(open_set.slot)] if open_set is not None else [],
        "records": [
            {
                "set_no": record["set_no"],
                "motion": record["motion"]["id"],
                "grade": record["grade"],
                "stars": record["stars"],
                "full": record["metrics"]["reps_full"],
                "partial": record["metrics"]["reps_partial"],
            }
            for record in session.records
        ],
        "time_us": time_us,
    }


def resumed_state(session: Session) -> dict[str, Any]:
    """Return what a player needs to go on with a session."""
    open_set = session.open_set
    shown = None
    if open_set is not None:
        shown = {k: open_set.start[k] for k in ("set_no", "motion", "side", "asked_reps")}
    return {
        "state": session.state.value,
        "paused": session.paused,
        "last_set_no": session.last_set_no,
        "set": shown,
        "result": session.result,
    }


def summaries_of(sessions: Sequence[Session], batch: Batch) -> list[dict[str, Any]]:
    """Return the sessions' lines in a live list; `child_id` is for the access check."""
    slots = {s.id: s.open_set.slot for s in sessions if s.open_set is not None}
    lives = dict(zip(slots, batch.lives(list(slots.values())), strict=True))
    return [_summary(session, lives.get(session.id)) for session in sessions]


def _summary(session: Session, live: Live | None) -> dict[str, Any]:
    start = session.open_set.start if session.open_set is not None else {}
    return {
        "session_id": session.id,
        "child_id": session.opened.child_id,
        "alias": session.opened.alias,
        "kind": session.opened.kind,
        "motion": start.get("motion"),
        "side": start.get("side"),
        "set_no": start.get("set_no"),
        "asked_reps": start.get("asked_reps"),
        "full": live.full if live is not None else 0,
        "partial": live.partial if live is not None else 0,
        "quality": live.quality if live is not None else None,
        "started_us": session.opened.document["opened_us"],
        "state": session.state.value,
    }


def _last_hands(recent: Iterable[bytes]) -> dict[str, bytes | None]:
    """Return the newest message that shows each hand."""
    hands: dict[str, bytes | None] = {"left": None, "right": None}
    for payload in recent:
        sides = decode(payload, None).records["side"]
        for code, side in enumerate(("left", "right")):
            if (sides == code).any():
                hands[side] = payload
    return hands
