"""What is kept of play: the items of a stream entry, which are the documents of MongoDB."""

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

import msgpack

SCHEMA = 1
"""Version of the items in a stream; a worker leaves versions it does not know for a newer one."""


class Kind(StrEnum):
    """What an item is, and so which collection it lies in."""

    SESSION = "o"
    CHUNK = "f"
    EVENT = "e"
    RECORD = "r"
    RESULT = "t"
    CALIBRATION = "c"


_pack: Callable[[Any], bytes] = msgpack.Packer(datetime=True).pack
"""One packer for all: making one costs as much as packing an event."""
_HEADS = {kind: f"{SCHEMA}|{kind.value}|" for kind in Kind}

COLLECTIONS: dict[Kind, str] = {
    Kind.SESSION: "sessions",
    Kind.CHUNK: "frame_chunks",
    Kind.EVENT: "play_events",
    Kind.RECORD: "play_records",
    Kind.RESULT: "therapy_results",
    Kind.CALIBRATION: "calibrations",
}


class Item(NamedTuple):
    """One document on its way through the stream.

    `last` is the highest message number the item covers: once it is in MongoDB, everything of
    the session up to there is. -1 for the session's own document.
    """

    kind: Kind
    session_id: str
    last: int
    content: dict[str, Any] | bytes
    """The document; bytes are its msgpack, joined of what came: nobody here reads a chunk."""

    @property
    def document(self) -> dict[str, Any]:
        """The document, read anew each time if it was joined."""
        if isinstance(self.content, bytes):
            return _unpack(self.content)
        return self.content

    def field(self) -> str:
        """Name of the item's field in the stream entry: its kind, session and mark."""
        return f"{field_head(self.kind, self.session_id)}{self.last}"

    def blob(self) -> bytes:
        """The document as it lies in the stream; settled here, identical at every delivery."""
        return self.content if isinstance(self.content, bytes) else _pack(self.content)


def field_head(kind: Kind, session_id: str) -> str:
    """How the name of the field of an item begins; its mark follows."""
    return f"{_HEADS[kind]}{session_id}|"


class UnknownSchemaError(Exception):
    """An item of a newer version: to be left where it is."""


def read_item(field: bytes, blob: bytes) -> Item:
    """Read one field of a stream entry back.

    Raises:
        UnknownSchemaError: the item is of a version this code does not know.
        ValueError: the field or the document is damaged.
    """
    parts = field.decode("utf-8", "replace").split("|")
    if parts[0] != str(SCHEMA):
        if parts[0].isdigit():
            raise UnknownSchemaError(parts[0])
        raise ValueError("the field of the stream entry has no schema version")
    if len(parts) != 4:
        raise ValueError("the field of the stream entry has not four parts")
    try:
        kind = Kind(parts[1])
    except ValueError:  # a kind that a newer version added
        raise UnknownSchemaError(f"kind {parts[1]}") from None
    return Item(kind, parts[2], int(parts[3]), _unpack(blob))


def _unpack(blob: bytes) -> dict[str, Any]:
    document = msgpack.unpackb(blob, timestamp=3)
    if not isinstance(document, dict):
        raise ValueError("the stored document is no map")
    return document


def session_named(field: bytes) -> str:
    """Return the session that a field of a stream entry names, or an empty string."""
    parts = field.split(b"|")
    return parts[2].decode("utf-8", "replace") if len(parts) == 4 else ""


def utc(time_us: int) -> datetime:
    """Return the aware datetime of a Unix time in microseconds, to the millisecond of BSON."""
    return datetime.fromtimestamp(time_us // 1000 / 1000, UTC)


def session_item(session_id: str, document: dict[str, Any]) -> Item:
    """The session as it was opened."""
    return Item(Kind.SESSION, session_id, -1, {"_id": session_id, **document})


def event_item(
    session_id: str,
    seq: int,
    event: str,
    payload: dict[str, Any] | None,
    *,
    time_us: int,
    context: dict[str, Any] | None = None,
    code: str | None = None,
) -> Item:
    """A numbered message that is not `frames`, with what the server added to it.

    `code` is set when the message was refused for its content or for the session's state; a
    malformed one has event `void` and no payload.
    """
    document: dict[str, Any] = {
        "_id": f"{session_id}:{seq}",
        "session_id": session_id,
        "seq": seq,
        "event": event,
        "payload": payload,
        "at": utc(time_us),
    }
    if context is not None:
        document["context"] = context
    if code is not None:
        document["code"] = code
    return Item(Kind.EVENT, session_id, seq, document)


def record_item(session_id: str, last: int, record: dict[str, Any]) -> Item:
    """The PlayRecord of a set."""
    key = f"{session_id}:{record['set_no']}"
    return Item(Kind.RECORD, session_id, last, {"_id": key, **record})


def calibration_item(session_id: str, last: int, calibration: dict[str, Any]) -> Item:
    """What a set calibrated for its child; the first of its `_id` stays."""
    return Item(Kind.CALIBRATION, session_id, last, calibration)


def result_item(session_id: str, last: int, result: dict[str, Any]) -> Item:
    """The TherapyResult of a sealed session."""
    return Item(Kind.RESULT, session_id, last, {"_id": session_id, **result})
