"""Scoring stored sessions again: the same code as live play, fed from what was stored."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from models.errors import AppError, ErrorCode
from models.play.repo import PlayRepo
from sessions.catalogue import Catalogue
from sessions.frames import decode
from sessions.record import canonical
from sessions.scoring.batch import Batch
from sessions.sets import plan_of, record_of

ENVELOPE = ("_id", "at")
"""Fields of a stored record that are not part of it."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One set: its stored record beside the one computed again."""

    set_no: int
    stored: Mapping[str, Any] | None
    again: Mapping[str, Any] | None

    @property
    def equal(self) -> bool:
        """Whether the two are the same byte for byte in canonical JSON."""
        if self.stored is None or self.again is None:
            return False
        same: bool = canonical(self.stored) == canonical(self.again)
        return same


def rescore(
    catalogue: Catalogue,
    opened: Mapping[str, Any],
    messages: Iterable[tuple[int, bytes | Mapping[str, Any]]],
) -> list[dict[str, Any]]:
    """Return the PlayRecords of a session, computed from its stored messages.

    Args:
        opened: the session's document.
        messages: (seq, message) in order of seq; `frames` as bytes, others as stored events.

    Raises:
        models.errors.AppError: the catalogue no longer holds what the session was played with.
    """
    batch = Batch()
    records: list[dict[str, Any]] = []
    slot: int | None = None
    start: Mapping[str, Any] = {}
    context: Mapping[str, Any] = {}
    paused = False

    def finish(unfinished: bool) -> None:
        nonlocal slot
        if slot is not None:
            measures = batch.close(slot, unfinished=unfinished)
            slot = None
            records.append(
                record_of(catalogue, opened, start, context, measures, unfinished=unfinished)
            )

    for _, message in messages:
        if isinstance(message, bytes):
            if slot is not None and not paused:
                batch.step([(slot, decode(message, opened["space"]))])
            continue
        if "code" in message:
            continue
        event = message["event"]
        if event == "set:start":
            start, context = message["payload"], message["context"]
            slot = batch.open(plan_of(catalogue, start, context, opened["space"], opened["fps"]))
        elif event == "set:end":
            finish(unfinished=False)
        elif event == "session:pause":
            paused = message["payload"]["paused"]
    finish(unfinished=True)
    return records


def compare(
    stored: Iterable[Mapping[str, Any]], again: Iterable[Mapping[str, Any]]
) -> list[Comparison]:
    """Pair stored records with recomputed ones by set number."""
    left = {r["set_no"]: {k: v for k, v in r.items() if k not in ENVELOPE} for r in stored}
    right = {r["set_no"]: r for r in again}
    return [Comparison(n, left.get(n), right.get(n)) for n in sorted(left.keys() | right.keys())]


async def stored_messages(
    repo: PlayRepo, session_id: str
) -> list[tuple[int, bytes | Mapping[str, Any]]]:
    """Return all stored messages of a session in order: `frames` as bytes, others as events."""
    messages: list[tuple[int, bytes | Mapping[str, Any]]] = [
        frame async for frame in repo.iter_frames(session_id)
    ]
    messages += [(event["seq"], event) async for event in repo.iter_events(session_id)]
    return sorted(messages, key=lambda message: message[0])


async def rescore_session(
    repo: PlayRepo, catalogue: Catalogue, session_id: str
) -> list[Comparison]:
    """Score a stored session again and pair the outcome with its stored records.

    Raises:
        AppError: `not_found`: there is no such stored session, or the catalogue no longer holds
            what it was played with.
    """
    opened = await repo.find_session(session_id)
    if opened is None:
        raise AppError(ErrorCode.NOT_FOUND, f"No session {session_id} is stored.")
    again = rescore(catalogue, opened, await stored_messages(repo, session_id))
    return compare(await repo.list_records(session_id), again)
