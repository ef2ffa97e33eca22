"""The one file that names MongoDB's driver: motor, or PyMongo's own asynchronous client.

Both have the same interface as far as it is used here, so the swap is the setting
`store.mongo_driver`. Repositories are written against `Database` and `Collection`.
"""

import asyncio
import inspect
import random
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeVar
from urllib.parse import parse_qsl, urlsplit

from bson.codec_options import CodecOptions
from bson.errors import BSONError
from pymongo import ReturnDocument, WriteConcern
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConnectionFailure,
    DocumentTooLarge,
    DuplicateKeyError,
    NotPrimaryError,
    PyMongoError,
    WTimeoutError,
)

Driver = Literal["motor", "pymongo"]
Database = Any
"""A database of either driver: they share no type."""
Collection = Any

DatabaseError = PyMongoError
UNREACHABLE = (AutoReconnect, ConnectionFailure, NotPrimaryError, WTimeoutError)
"""The database's own errors: the document is not at fault, the same call may be made again."""

UNENCODABLE = (BSONError, DocumentTooLarge, OverflowError)
"""The document cannot be written as BSON: its own fault, found before anything is sent."""

AFTER = ReturnDocument.AFTER
"""Of `find_one_and_update`: return the document as it is then."""

__all__ = [
    "AFTER",
    "UNENCODABLE",
    "UNREACHABLE",
    "BulkWriteError",
    "Database",
    "DatabaseError",
    "DuplicateKeyError",
    "Mongo",
    "aggregate",
]

T = TypeVar("T")
TRANSACTION_SECONDS = 10.0
"""A transaction that has not gone through by then is given up."""
WAITS_MS = {"serverSelectionTimeoutMS": 3000, "connectTimeoutMS": 3000, "socketTimeoutMS": 10_000}
"""How long the driver waits, unless the URL says otherwise."""
PAUSE_SECONDS = 0.005
PAUSE_MOST_SECONDS = 0.5
"""Pauses between tries grow from the one to the other, and are random up to that."""
Session = Any
"""A transaction under way: what is written with it is written together."""


def _waits(url: str) -> dict[str, int]:
    # To the driver an option given by name outranks that of the URL.
    said = {name.lower() for name, _ in parse_qsl(urlsplit(url).query)}
    return {name: most for name, most in WAITS_MS.items() if name.lower() not in said}


_APART = random.SystemRandom().uniform


class Mongo:
    """A client and the product's database in it; `w: majority` with journal on every write."""

    def __init__(
        self,
        url: str,
        database: str,
        driver: Driver = "motor",
        jitter: Callable[[float, float], float] = _APART,
    ) -> None:
        """Prepare; nothing is connected yet.

        Args:
            jitter: chooses between two times, so that two in each other's way part.
        """
        self._jitter = jitter
        make = _motor() if driver == "motor" else _pymongo()
        self._client = make(
            url,
            tz_aware=True,
            retryWrites=True,
            **_waits(url),
        )
        self._concern = WriteConcern(w="majority", j=True, wtimeout=8000)
        self.database: Database = self._client.get_database(
            database, codec_options=CodecOptions(tz_aware=True), write_concern=self._concern
        )

    async def transact(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """Do `work` in one transaction: all of it is written, or nothing; return its answer.

        It is done again when another transaction was in its way, so it must have no other effect.
        It may end the transaction itself by aborting it.
        """
        # Our own loop: motor's leaves a conflict that shows at the commit to the caller.
        starting = self._client.start_session()
        session = await starting if inspect.isawaitable(starting) else starting
        async with session, asyncio.timeout(TRANSACTION_SECONDS):
            tries = 0
            while True:
                try:
                    return await self._try(session, work)
                except PyMongoError as error:
                    if not error.has_error_label("TransientTransactionError"):
                        raise
                tries += 1
                most = min(PAUSE_SECONDS * 1.5**tries, PAUSE_MOST_SECONDS)
                await asyncio.sleep(self._jitter(0, most))

    async def _try(self, session: Session, work: Callable[[Session], Awaitable[T]]) -> T:
        begun = session.start_transaction(write_concern=self._concern)
        if inspect.isawaitable(begun):
            await begun
        try:
            done = await work(session)
        except BaseException:
            if session.in_transaction:
                await session.abort_transaction()
            raise
        if session.in_transaction:
            await _commit(session)
        return done

    async def ping(self) -> bool:
        """Tell whether a primary that takes writes is known."""
        hello = await self._client.admin.command("hello")
        return bool(hello.get("isWritablePrimary"))

    async def close(self) -> None:
        """Close every connection."""
        closing = self._client.close()
        if closing is not None:
            await closing


async def _commit(session: Session) -> None:
    """Commit, and ask again until it is known: committing what is committed changes nothing."""
    while True:
        try:
            await session.commit_transaction()
        except PyMongoError as error:
            if not error.has_error_label("UnknownTransactionCommitResult"):
                raise
        else:
            return


class Before:
    """What has to be done before a first write, once; done again after it failed.

    Unique indexes keep apart what must be: nothing may be written before they are there.
    """

    def __init__(self, prepare: Callable[[], Awaitable[None]]) -> None:
        self._prepare = prepare
        self._done = False
        self._doing = asyncio.Lock()

    async def __call__(self) -> None:
        """Do it, if nobody has."""
        if self._done:
            return
        async with self._doing:
            if not self._done:
                await self._prepare()
                self._done = True


async def aggregate(collection: Collection, pipeline: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the documents a pipeline ends with; the drivers start it in different ways."""
    starting = collection.aggregate(pipeline)
    cursor = await starting if inspect.isawaitable(starting) else starting
    found: list[dict[str, Any]] = await cursor.to_list(None)
    return found


def _motor() -> Callable[..., Any]:
    from motor.motor_asyncio import AsyncIOMotorClient  # noqa: PLC0415 - only the chosen driver is loaded

    make: Callable[..., Any] = AsyncIOMotorClient
    return make


def _pymongo() -> Callable[..., Any]:
    from pymongo import AsyncMongoClient  # noqa: PLC0415 - only the chosen driver is loaded

    return AsyncMongoClient
