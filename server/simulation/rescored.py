"""Whether stored sessions, scored again from their messages, give the records they have."""

from collections.abc import Iterable
from typing import Any

from models.play.repo import PlayRepo
from sessions.catalogue import catalogue
from sessions.rescore import compare, rescore


async def rescored_equal(session_ids: Iterable[str], repo: PlayRepo) -> bool:
    """Score sessions again; True if every record comes out the same byte for byte."""
    return all([await _equal(session_id, repo) for session_id in session_ids])


async def _equal(session_id: str, repo: PlayRepo) -> bool:
    opened = await repo.find_session(session_id)
    if opened is None:
        return False
    messages: list[tuple[int, bytes | dict[str, Any]]] = []
    messages += [message async for message in repo.iter_frames(session_id)]
    messages += [(event["seq"], event) async for event in repo.iter_events(session_id)]
    messages.sort(key=lambda message: message[0])
    again = rescore(catalogue(), opened, messages)
    stored = await repo.list_records(session_id)
    return all(comparison.equal for comparison in compare(stored, again))
