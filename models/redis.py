"""Connecting to Redis: one server, or a cluster of them behind the same interface."""

from typing import cast

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff


def connect_redis(url: str, timeout_s: float, *, cluster: bool) -> Redis:
    """Return a client; nothing is connected before its first command.

    Args:
        url: of the server, or of any node of the cluster; the other nodes are found from it.
        timeout_s: of a connection and of an answer, seconds.
        cluster: whether the url leads to a cluster. Keys of a session share a hash tag, scripts
            touch one shard each, and pipelines are split by node, so the same calls serve both.
    """
    if not cluster:
        return Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 1),
            protocol=2,
        )
    client = RedisCluster.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.2), 3),
        protocol=2,
    )
    return cast("Redis", client)  # the same calls, as far as they are used here
