"""Proving that somebody is gone: every value of every store is looked at for what named them.

Nothing is left out by name: all collections there are and all keys of the prefix are read, sealed
text is opened where its place can be told, and what is packed in streams is looked through as it
lies there. What is looked for is kept by whoever proves: afterwards no store could tell it.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from redis.asyncio import Redis

from models.accounts.records import User
from models.children.records import name_context
from models.cipher import Context, FieldCipher, UnsealError
from models.db import Database
from models.withdrawal.erasure import SCANNED, escaped

CHAINED: Final = frozenset({"access_log", "access_log_heads"})
"""Nothing can be taken out of these: what they hold are ids that lead nowhere."""
SEALED: Final = "s1."
PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Terms:
    """What somebody may be found by."""

    ids: frozenset[str]
    """Ids of the account and of its children."""
    words: frozenset[str] = field(repr=False)
    """E-mail, number, and the providers' ids of the person."""
    names: frozenset[str] = field(default=frozenset(), repr=False)
    """Not looked for in what is sealed: that is bound to its owner, and others have these too."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Something that was found."""

    store: str
    """`mongodb` or `redis`."""
    where: str
    """Collection and document, or key."""
    path: str
    """Of the value in it."""


class Prover:
    """Looks for terms in every store.

    Raises:
        models.db.DatabaseError, redis.exceptions.RedisError, OSError, TimeoutError: a store did
            not answer; nothing is proved then.
    """

    def __init__(self, database: Database, redis: Redis, prefix: str, cipher: FieldCipher) -> None:
        self._db = database
        self._redis = redis
        self._prefix = prefix
        self._cipher = cipher

    async def terms_of(self, user: User) -> Terms:
        """Return what somebody and the children who go with them are found by, as known now."""
        words = {method.subject for method in user.methods}
        words |= {user.email} if user.email is not None else set()
        names, ids = set(), {user.id}
        if user.phone_sealed is not None:
            words.add(self._cipher.open(user.phone_sealed, Context("users", "phone", user.id)))
        if user.name_sealed is not None:
            names.add(self._cipher.open(user.name_sealed, Context("users", "name", user.id)))
        theirs = {"$or": [{"guardians": [user.id]}, {"removed_by": user.id}]}
        async for child in self._db["children"].find(theirs):
            ids.add(child["_id"])
            if child.get("name") is not None:
                names.add(self._cipher.open(child["name"], name_context(child["_id"])))
        return Terms(frozenset(ids), frozenset(words), frozenset(names))

    async def traces(self, terms: Terms) -> AsyncIterator[Trace]:
        """Yield all that is left, but what stands in chains."""
        sealed = [term.encode() for term in sorted(terms.ids | terms.words) if term]
        wanted = sealed + [name.encode() for name in sorted(terms.names) if name]
        async for trace in self._in_mongo(wanted, sealed):
            yield trace
        async for trace in self._in_redis(wanted):
            yield trace

    async def count_chained(self, terms: Terms) -> int:
        """Return how many entries of the access log name one of the ids."""
        ids = sorted(terms.ids)
        named = {"$or": [{"child_id": {"$in": ids}}, {"user_id": {"$in": ids}}]}
        count: int = await self._db["access_log"].count_documents(named)
        return count

    async def _in_mongo(self, wanted: list[bytes], sealed: list[bytes]) -> AsyncIterator[Trace]:
        for name in sorted(await self._db.list_collection_names()):
            if name in CHAINED or name.startswith("system."):
                continue
            async for document in self._db[name].find({}):
                for path, value in values_in(document):
                    opened = self._opened(name, document, path, value)
                    if holds(value, wanted) or any(holds(text, sealed) for text in opened):
                        yield Trace("mongodb", f"{name}/{document['_id']!s}", path)

    def _opened(
        self, name: str, document: Mapping[str, Any], path: str, value: bytes
    ) -> Iterator[bytes]:
        """Yield what a sealed text says, for the places it may belong to."""
        if not value.startswith(SEALED.encode()):
            return
        last = path.rpartition(".")[2]
        fields = {path, last, last.removesuffix("_sealed"), path.removesuffix(".sealed")}
        owners = {str(v) for k, v in document.items() if k == "_id" or k.endswith("_id")}
        for part in sorted(fields | {path.partition(".")[0]}):
            for owner in sorted(owners):
                try:
                    yield self._cipher.open(value.decode(), Context(name, part, owner)).encode()
                except UnsealError:
                    continue

    async def _in_redis(self, wanted: list[bytes]) -> AsyncIterator[Trace]:
        pattern = f"{escaped(self._prefix)}:*"
        async for key in self._redis.scan_iter(match=pattern, count=SCANNED):
            where = key.decode("utf-8", "replace")
            if holds(key, wanted):
                yield Trace("redis", where, "key")
            async for path, value in self._values(key):
                if holds(value, wanted):
                    yield Trace("redis", where, path)

    async def _values(self, key: bytes) -> AsyncIterator[tuple[str, bytes]]:
        redis: Any = self._redis
        match await redis.type(key):
            case b"string":
                yield "value", await redis.get(key) or b""
            case b"list":
                for value in await redis.lrange(key, 0, -1):
                    yield "item", value
            case b"stream":
                async for found in self._entries(key):
                    yield found
            case kind:
                async for member in self._members(key, kind):
                    yield "member", member

    async def _members(self, key: bytes, kind: bytes) -> AsyncIterator[bytes]:
        redis: Any = self._redis
        if kind == b"set":
            async for member in redis.sscan_iter(key):
                yield member
        elif kind == b"zset":
            async for member, _ in redis.zscan_iter(key):
                yield member
        elif kind == b"hash":
            async for name, value in redis.hscan_iter(key):
                yield name + b"\0" + value

    async def _entries(self, key: bytes) -> AsyncIterator[tuple[str, bytes]]:
        redis: Any = self._redis
        start = "-"
        while entries := await redis.xrange(key, start, "+", count=PAGE):
            for entry_id, fields in entries:
                for name, value in (fields or {}).items():
                    yield f"entry {entry_id.decode()}", name + b"\0" + value
            start = f"({entries[-1][0].decode()}"


def values_in(value: Any, path: str = "") -> Iterator[tuple[str, bytes]]:
    """Yield every key and value of a document as bytes, each with its path."""
    if isinstance(value, Mapping):
        for name, one in value.items():
            where = f"{path}.{name}" if path else str(name)
            yield where, str(name).encode()
            yield from values_in(one, where)
    elif isinstance(value, list | tuple):
        for n, one in enumerate(value):
            yield from values_in(one, f"{path}.{n}")
    elif isinstance(value, bytes):
        yield path, bytes(value)
    elif value is not None:
        yield path, str(value).encode()


def holds(text: bytes, wanted: list[bytes]) -> bool:
    """Tell whether a text holds one of the terms, as a word of its own.

    A term inside a longer word is another's: `u_1` is not in `u_12`.
    """
    for term in wanted:
        at = text.find(term)
        while at >= 0:
            before, after = text[at - 1 : at] if at else b"", text[at + len(term) :][:1]
            if not _joins(before, term[:1]) and not _joins(after, term[-1:]):
                return True
            at = text.find(term, at + 1)
    return False


def _joins(beside: bytes, end: bytes) -> bool:
    """Tell whether a byte beside a term makes it part of a longer ASCII word."""
    return beside.isalnum() and end.isalnum()
