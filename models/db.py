"""The one file that names MongoDB's driver: motor, or PyMongo's own asynchronous client.

Both have the same interface as far as it is used here, so the swap is the setting
`store.mongo_driver`. Repositories are written against `Database` and `Collection`.
"""

from collections.abc import Callable
from typing import Any, Literal

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
]


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
        self.database: Database = self._client.get_database(
            database,
            codec_options=CodecOptions(tz_aware=True),
            write_concern=WriteConcern(w="majority", j=True, wtimeout=8000),
        )

    async def ping(self) -> bool:
        """Tell whether a primary that takes writes is known."""
        hello = await self._client.admin.command("hello")
        return bool(hello.get("isWritablePrimary"))

    async def close(self) -> None:
        """Close every connection."""
        closing = self._client.close()
        if closing is not None:
            await closing


def _motor() -> Callable[..., Any]:
    from motor.motor_asyncio import AsyncIOMotorClient  # noqa: PLC0415 - only the chosen driver is loaded

    make: Callable[..., Any] = AsyncIOMotorClient
    return make


def _pymongo() -> Callable[..., Any]:
    from pymongo import AsyncMongoClient  # noqa: PLC0415 - only the chosen driver is loaded

    return AsyncMongoClient
