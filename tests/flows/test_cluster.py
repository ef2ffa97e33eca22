"""The same story on a Redis Cluster of three nodes, and on a MongoDB replica set of three."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pymongo
import pytest
from redis.asyncio import Redis

from config.settings import Settings
from models.play.repo import PlayRepo
from server.embedded import Mongod, ValkeyServer
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
    repo_of: Callable[[Settings], PlayRepo],
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
    repo = repo_of(settings)
    for session_id in sessions:
        stored = [seq async for seq, _ in repo.iter_frames(session_id, merged=False)]
        assert stored == list(range(1, len(sent) + 1))
        again = await rescore_session(repo, catalogue(), session_id)
        assert [one.equal for one in again] == [True]


class Member(Mongod):
    """A mongod that waits to be made a member of a set."""

    async def _ready(self) -> bool:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.close()
        return not reader.at_eof()


@pytest.fixture
async def members(tmp_path: Path) -> AsyncIterator[list[Member]]:
    """Run a replica set of three; the first becomes the primary."""
    nodes = [Member(tmp_path / f"member{n}", temporary=False) for n in range(3)]
    try:
        await asyncio.gather(*(node.start() for node in nodes))
        config = {
            "_id": "rs0",
            "settings": {"electionTimeoutMillis": 1000, "heartbeatIntervalMillis": 200},
            "members": [
                {"_id": n, "host": f"127.0.0.1:{node.port}", "priority": 2 if n == 0 else 1}
                for n, node in enumerate(nodes)
            ],
        }
        one = f"mongodb://127.0.0.1:{nodes[0].port}/?directConnection=true"
        with pymongo.MongoClient[dict[str, object]](one) as client:
            client.admin.command("replSetInitiate", config)
            async with asyncio.timeout(30):
                while not client.admin.command("hello").get("isWritablePrimary"):
                    await asyncio.sleep(0.1)
        yield nodes
    finally:
        await asyncio.gather(*(node.stop() for node in nodes))


async def test_a_killed_primary_loses_nothing(
    members: list[Member],
    redis_url: str,
    redis_prefix: str,
    tmp_path: Path,
    repo_of: Callable[[Settings], PlayRepo],
) -> None:
    hosts = ",".join(f"127.0.0.1:{node.port}" for node in members)
    url = f"mongodb://{hosts}/?replicaSet=rs0"
    settings = settings_of(url, redis_url, "killed", redis_prefix, tmp_path / "key.pem")
    played = fist(2)
    sent = [m.payload for m in played.messages(2)]
    async with serving(settings) as served:
        token = served.token("guardian", "child-1")
        async with connected(served.url, "/game", token) as client:
            session_id = (await client.open())["session_id"]
            await client.ok("set:start", 0, start_of(played))
            for seq, payload in enumerate(sent, 1):
                await client.say("frames", seq, payload)
                if seq == 40:
                    await client.until("ack", lambda a: a["stored"] >= 20)
                    members[0].kill()
            await client.ok("set:end", len(sent) + 1, {"set_no": 1})
            for _ in range(10):
                answer = await client.ask("session:close", len(sent) + 2, {"reason": "done"})
                if "ok" in answer:
                    break
            assert answer["ok"]["sealed"] == "closed", "stored by the new primary"
    repo = repo_of(settings)
    stored = [seq async for seq, _ in repo.iter_frames(session_id, merged=False)]
    assert stored == list(range(1, len(sent) + 1))
    again = await rescore_session(repo, catalogue(), session_id)
    assert [one.equal for one in again] == [True]
