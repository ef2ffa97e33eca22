"""Connecting to Redis: one server, or a cluster of them behind the same interface."""

import asyncio
from collections.abc import Iterable
from typing import Any, cast

import hiredis
from redis.asyncio import Connection, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.exceptions import DataError

ROOM = 65_536
"""Bytes below which a transport says that there is nothing to wait for."""


class _Packed(AbstractConnection):
    """Packs commands with hiredis: the library does it argument by argument in Python.

    Everything else, from the connecting to the time limits, is the library's.
    """

    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        """Send, and wait only where the connection takes no more.

        The library makes a task of every sending, for its time limit.
        """
        writer = self._writer
        if (
            writer is not None
            and isinstance(command, list)
            and not writer.transport.is_closing()
            and not self.health_check_interval
        ):
            writer.writelines(command)
            if writer.transport.get_write_buffer_size() < ROOM:
                return
            command = []
        await super().send_packed_command(command, check_health)

    def pack_command(self, *args: Any) -> list[bytes]:
        """Return a command in the protocol's bytes."""
        name, *rest = args
        words = name.encode().split() if isinstance(name, str) else name.split()
        try:
            return [hiredis.pack_command((*words, *rest))]
        except TypeError as error:
            raise DataError(str(error)) from error

    def pack_commands(self, commands: Iterable[Iterable[Any]]) -> list[bytes]:
        """Return many commands in the protocol's bytes."""
        return [part for command in commands for part in self.pack_command(*command)]


class _PackedConnection(_Packed, Connection):
    pass


class _PackedSSLConnection(_Packed, SSLConnection):
    pass


class _PackedUnixConnection(_Packed, UnixDomainSocketConnection):
    pass


_PACKED: dict[type[AbstractConnection], type[AbstractConnection]] = {
    Connection: _PackedConnection,
    SSLConnection: _PackedSSLConnection,
    UnixDomainSocketConnection: _PackedUnixConnection,
}


def connect_redis(url: str, timeout_s: float, *, cluster: bool) -> Redis:
    """Return a client; nothing is connected before its first command.

    Args:
        url: of the server, or of any node of the cluster; the other nodes are found from it.
        timeout_s: of a connection and of an answer, seconds.
        cluster: whether the url leads to a cluster. Keys of a session share a hash tag, scripts
            touch one shard each, and pipelines are split by node, so the same calls serve both.
    """
    if not cluster:
        single = Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 1),
            protocol=2,
        )
        pool = single.connection_pool
        pool.connection_class = _PACKED[pool.connection_class]
        return single
    client = RedisCluster.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.2), 3),
        protocol=2,
    )
    return cast("Redis", client)  # the same calls, as far as they are used here


class OwnLine:
    """The commands of one caller, one after another, over a connection that is its own.

    The client borrows a connection for every command and gives it back, which is a third of what
    a command costs. In a cluster commands go through the client: each to the node of its keys.

    Raises:
        redis.exceptions.RedisError, OSError, TimeoutError: from `call`; what became of the command
            is not known. It may be given again: the connection is made anew.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._connection: AbstractConnection | None = None
        self._lock = asyncio.Lock()

    async def call(self, *command: Any) -> Any:
        """Return the answer to a command."""
        pool = getattr(self._redis, "connection_pool", None)
        if pool is None:
            return await self._redis.execute_command(*command)  # type: ignore[no-untyped-call]
        async with self._lock:
            line = self._connection = self._connection or await pool.get_connection()
            return await line.retry.call_with_retry(
                lambda: _ask(line, command), lambda _: line.disconnect()
            )


async def _ask(line: AbstractConnection, command: tuple[Any, ...]) -> Any:
    # Whatever breaks off the reading, a cancellation too, ends the connection: no answer is taken
    # for that of another command.
    await line.send_command(*command)
    return await line.read_response()
