"""The same story on a Redis Cluster of three nodes, and on a MongoDB replica set of three."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from models.play.repo import PlayRepo
from server.embedded import ValkeyServer
from sessions.catalogue import catalogue
from sessions.rescore import rescore_session
from tests.flows.client import connected
from tests.flows.test_play import fist, start_of
from tests.serving import serving, settings_of

SLOTS = 16_384


class ClusterNode(ValkeyServer):
    """A Valkey that is a node of a cluster."""

    def _command(self) -> list[str]:
        bus = self.port - 10_000 if self.port > 55_000 else self.port + 10_000
        more = ["--cluster-enabled", "yes", "--cluster-port", str(bus)]
        return [*super()._command(), *more, "--cluster-node-timeout", "2000"]

    @property
    def bus_port(self) -> int:
        """Port the nodes talk to each other on."""
        return self.port - 10_000 if self.port > 55_000 else self.port + 10_000


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[list[ClusterNode]]:
    """Run three nodes that share the slots."""
    nodes = [ClusterNode(tmp_path / f"node{n}", temporary=False) for n in range(3)]
    try:
        await asyncio.gather(*(node.start() for node in nodes))
        clients = [Redis.from_url(node.url, protocol=2) for node in nodes]
        for n, client in enumerate(clients):
            first, last = n * SLOTS // 3, (n + 1) * SLOTS // 3 - 1
            await client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
            if n:
                await client.execute_command(
                    "CLUSTER", "MEET", "127.0.0.1", nodes[0].port, nodes[0].bus_port
                )
        async with asyncio.timeout(20):
            for client in clients:
                while b"cluster_state:ok" not in await client.execute_command("CLUSTER", "INFO"):
                    await asyncio.sleep(0.1)
        for client in clients:
            await client.aclose()
        yield nodes
    finally:
        await asyncio.gather(*(node.stop() for node in nodes))


async def test_a_session_on_a_redis_cluster(
    cluster: list[ClusterNode],
    mongo_url: str,
    mongo_database: str,
    tmp_path: Path,
    repo_of: object,
) -> None:
    settings = settings_of(
        mongo_url,
        cluster[0].url.removesuffix("/0"),
        mongo_database,
        "cl",
        tmp_path / "key.pem",
        store={"redis_cluster": True},
    )
    played = fist(2)
    sent = [m.payload for m in played.messages(2)]
    sessions = []
    async with serving(settings) as one, serving(settings) as two:
        for n in range(6):  # over several shards, and so over several nodes
            child = f"child-{n}"
            token = one.token("guardian", child)
            async with connected(one.url, "/game", token) as client:
                opened = await client.open(child)
                await client.ok("set:start", 0, start_of(played))
                for seq, payload in enumerate(sent[:30], 1):
                    await client.say("frames", seq, payload)
                await client.until("ack", lambda a: a["buffered"] == 30)
            async with (
                connected(two.url, "/watch", two.token("therapist", child)) as watcher,
                connected(two.url, "/game", token) as client,
            ):
                asked = {k: opened[k] for k in ("session_id", "resume_token")}
                answer = await client.ok("session:resume", asked)
                assert answer["expected"] == 31
                await watcher.ok("watch:join", {"session_id": opened["session_id"]})
                for seq, payload in enumerate(sent[30:], 31):
                    await client.say("frames", seq, payload)
                await client.ok("set:end", len(sent) + 1, {"set_no": 1})
                await client.ok("session:close", len(sent) + 2, {"reason": "done"})
                await watcher.until("ended")
            sessions.append(opened["session_id"])
    repo: PlayRepo = repo_of(settings)  # type: ignore[operator]
    for session_id in sessions:
        stored = [seq async for seq, _ in repo.iter_frames(session_id)]
        assert stored == list(range(1, len(sent) + 1))
        again = await rescore_session(repo, catalogue(), session_id)
        assert [one.equal for one in again] == [True]
