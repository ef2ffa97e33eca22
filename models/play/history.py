"""What is stored of a session so far, wherever it lies: in MongoDB, or still in its stream."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from models.play.records import Item, Kind
from models.play.repo import PlayRepo
from models.play.stream import PlayStream


@dataclass(slots=True)
class History:
    """A session's stored documents, and where its `frames` messages lie."""

    session_id: str
    opened: dict[str, Any] | None = None
    events: dict[int, dict[str, Any]] = field(default_factory=dict)
    records: dict[int, dict[str, Any]] = field(default_factory=dict)
    result: dict[str, Any] | None = None
    waiting: dict[int, bytes] = field(default_factory=dict)
    """`frames` messages that are not in MongoDB, by number."""
    spans: list[tuple[int, int]] = field(default_factory=list)
    """First number and count of the chunks in MongoDB."""
    stored: int = -1
    """The highest number up to which MongoDB alone has everything, or -1."""

    @property
    def last(self) -> int:
        """The highest number up to which nothing is missing, or -1."""
        return self._last(set(self.events) | set(self.waiting))

    def _last(self, numbers: set[int]) -> int:
        for first, count in self.spans:
            numbers.update(range(first, first + count))
        last = -1
        while last + 1 in numbers:
            last += 1
        return last


class Histories:
    """Reads histories.

    Nothing falls between the two places: the streams are read first, and what is flushed
    meanwhile is in MongoDB by the time that is read.
    """

    def __init__(self, repo: PlayRepo, stream: PlayStream) -> None:
        self._repo = repo
        self._stream = stream

    async def find_opened(self, session_id: str) -> dict[str, Any] | None:
        """Return the session's document; None when there is no such session."""
        found = await self._repo.find_session(session_id)
        if found is not None:
            return found
        for item in await self._stream.waiting({session_id}):
            if item.kind is Kind.SESSION:
                return item.document
        return await self._repo.find_session(session_id)

    async def stored(self, session_id: str) -> tuple[int, bool]:
        """Return up to which number MongoDB alone has everything, and whether it has the result."""
        history = History(session_id)
        await self._add_stored(history)
        return history.stored, history.result is not None

    async def read(self, session_ids: Sequence[str]) -> dict[str, History]:
        """Return the histories of several sessions; the streams are read once for all."""
        histories = {session_id: History(session_id) for session_id in session_ids}
        for item in await self._stream.waiting(set(session_ids)):
            _note(histories[item.session_id], item)
        for history in histories.values():
            await self._add_stored(history)
        return histories

    async def frames(self, history: History, first: int) -> list[tuple[int, bytes]]:
        """Return the `frames` messages from number `first` on, in order."""
        found = {seq: payload for seq, payload in history.waiting.items() if seq >= first}
        stored = self._repo.iter_frames(history.session_id, first)
        found.update({seq: payload async for seq, payload in stored})
        return sorted(found.items())

    async def _add_stored(self, history: History) -> None:
        session_id = history.session_id
        history.opened = await self._repo.find_session(session_id) or history.opened
        history.result = await self._repo.find_result(session_id) or history.result
        numbers = set()
        async for event in self._repo.iter_events(session_id):
            history.events[event["seq"]] = event
            numbers.add(event["seq"])
        history.spans = await self._repo.list_spans(session_id)
        history.stored = history._last(numbers)
        for record in await self._repo.list_records(session_id):
            history.records[record["set_no"]] = record


def _note(history: History, item: Item) -> None:
    document = item.document
    match item.kind:
        case Kind.SESSION:
            history.opened = document
        case Kind.CHUNK:
            for n, payload in enumerate(document["messages"]):
                history.waiting[document["seq0"] + n] = payload
        case Kind.EVENT:
            history.events[document["seq"]] = document
        case Kind.RECORD:
            history.records[document["set_no"]] = document
        case Kind.RESULT:
            history.result = document
        case _:
            pass
