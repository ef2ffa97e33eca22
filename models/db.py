"""The one file that names MongoDB's driver: motor, or PyMongo's own asynchronous client.

Both have the same interface as far as it is used here, so the swap is the setting
`store.mongo_driver`. Repositories are written against `Database` and `Collection`.
"""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeVar

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
Session = Any
"""A transaction under way: what is written with it is written together."""


class Mongo:
    """A client and the product's database in it; `w: majority` with journal on every write."""

    def __init__(self, url: str, database: str, driver: Driver = "motor") -> None:
        make = _motor() if driver == "motor" else _pymongo()
        self._client = make(
            url,
            tz_aware=True,
            serverSelectionTimeoutMS=3000,
            connectTimeoutMS=3000,
            socketTimeoutMS=10_000,
            retryWrites=True,
        )
        self._concern = WriteConcern(w="majority", j=True, wtimeout=8000)
        self.database: Database = self._client.get_database(
            database, codec_options=CodecOptions(tz_aware=True), write_concern=self._concern
        )

    async def transact(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """Do `work` in one transaction: all of it is written, or nothing; return its answer.

        It is done again when another transaction was in its way, so it must have no other effect.
        """
        starting = self._client.start_session()
        session = await starting if inspect.isawaitable(starting) else starting
        async with session:
            done: T = await session.with_transaction(work, write_concern=self._concern)
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
