"""What every process of the product rests on: its stores, its keys, its name among the others."""

import secrets
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.exceptions import RedisError

from config.clock import Clock
from config.settings import Settings
from models.accounts.revocations import Revocations
from models.accounts.signing import TokenKeys
from models.bus import Bus
from models.cipher import FieldCipher
from models.db import DatabaseError, Mongo
from models.play.keys import PlayKeys
from models.play.stream import PlayStream
from models.redis import connect_redis
from server.keyring import ConfigurationError, field_cipher, token_keys_of


@dataclass(frozen=True, slots=True)
class Stores:
    """The stores, and what is made of them and the settings alone."""

    settings: Settings
    clock: Clock
    node: str
    redis: Redis
    mongo: Mongo
    keys: PlayKeys
    stream: PlayStream
    bus: Bus
    revocations: Revocations
    cipher: FieldCipher
    token_keys: TokenKeys

    async def close(self) -> None:
        """Close every connection."""
        await self.mongo.close()
        await self.redis.aclose()


def open_mongo(settings: Settings) -> Mongo:
    """Return the database that the settings name; nothing is connected yet.

    Raises:
        ConfigurationError: it is not named, or the name is none.
    """
    if settings.mongo_url is None:
        raise ConfigurationError("Set GEMGEM_MONGO_URL, or start with `serve --embedded`.")
    url, store = settings.mongo_url.get_secret_value(), settings.store
    try:
        return Mongo(url, store.mongo_database, store.mongo_driver)
    except (DatabaseError, ValueError) as error:
        raise ConfigurationError("GEMGEM_MONGO_URL is no address of a MongoDB.") from error


def open_redis(settings: Settings) -> Redis:
    """Return the Redis that the settings name; nothing is connected yet.

    Raises:
        ConfigurationError: it is not named, or the name is none.
    """
    if settings.redis_url is None:
        raise ConfigurationError("Set GEMGEM_REDIS_URL, or start with `serve --embedded`.")
    url, store = settings.redis_url.get_secret_value(), settings.store
    try:
        return connect_redis(url, store.redis_timeout_ms / 1000, cluster=store.redis_cluster)
    except (RedisError, ValueError) as error:
        raise ConfigurationError("GEMGEM_REDIS_URL is no address of a Redis.") from error


def open_stores(settings: Settings, clock: Clock, role: str) -> Stores:
    """Return the stores that the settings name; nothing is connected yet.

    Args:
        role: begins the name of a process that was given none.

    Raises:
        ConfigurationError: a store or a key is not named.
    """
    mongo, redis = open_mongo(settings), open_redis(settings)
    token_keys, cipher = token_keys_of(settings), field_cipher(settings)
    store = settings.store
    node = settings.node or f"{role}-{secrets.token_hex(4)}"
    keys, bus = PlayKeys(store.redis_prefix, store.shards), Bus(redis)
    return Stores(
        settings=settings,
        clock=clock,
        node=node,
        redis=redis,
        mongo=mongo,
        keys=keys,
        stream=PlayStream(redis, keys, node),
        bus=bus,
        revocations=Revocations(redis, bus, store.redis_prefix, clock),
        cipher=cipher,
        token_keys=token_keys,
    )
