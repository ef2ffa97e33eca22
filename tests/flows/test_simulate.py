"""Simulated children against the server as it runs in production: a process of its own."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from config.clock import SystemClock
from config.settings import load_settings
from models.accounts.tokens import create_dev_key
from models.db import Mongo
from models.play.repo import PlayRepo
from server.__main__ import main
from server.seeding.seeder import seeding
from server.seeding.village import MINA, settle
from server.simulation.audit import audit
from server.simulation.crowd import Crowd, Script
from server.simulation.ledger import FileLedger
from server.simulation.line import LineLostError
from server.simulation.performance import Manner
from server.simulation.served import Served, free_port, serving
from sessions.catalogue import catalogue
from sessions.rescore import rescore_session
from tests.server.test_serve import run
from tests.serving import settings_of


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "dev-key.pem"
    create_dev_key(path)
    return path


@pytest.fixture
async def served(
    tmp_path: Path,
    key: Path,
    mongo_url: str,
    redis_url: str,
    mongo_database: str,
    redis_prefix: str,
) -> AsyncIterator[Served]:
    directory = tmp_path / "server"
    directory.mkdir()
    environment = {
        "GEMGEM_MONGO_URL": mongo_url,
        "GEMGEM_REDIS_URL": redis_url,
        "GEMGEM_DEV_KEY": str(key),
        "GEMGEM_STORE__MONGO_DATABASE": mongo_database,
        "GEMGEM_STORE__REDIS_PREFIX": redis_prefix,
    }
    port = free_port("127.0.0.1", None, 0)
    async with serving(directory, "127.0.0.1", port, environment) as served:
        yield served


@pytest.fixture
async def mongo(mongo_url: str, mongo_database: str) -> AsyncIterator[Mongo]:
    mongo = Mongo(mongo_url, mongo_database)
    yield mongo
    await mongo.close()


Commanded = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture
def commanded(
    mongo_url: str,
    mongo_database: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Commanded:
    """Return a function that runs a command and returns its status and standard output."""
    monkeypatch.setenv("GEMGEM_MONGO_URL", mongo_url)
    monkeypatch.setenv("GEMGEM_STORE__MONGO_DATABASE", mongo_database)

    async def command(*arguments: str) -> tuple[int, str]:
        capfd.readouterr()
        status = await asyncio.to_thread(main, list(arguments))
        return status, capfd.readouterr().out

    return command


def _script(url: str, key: Path, seconds: float | None, **changes: object) -> Script:
    manner = Manner(motions=("tap", "fist"), noise_mm=0.5)
    script = {"url": url, "key": key, "children": 3, "seconds": seconds, "seed": 5}
    return Script(manner=manner, **{**script, **changes})  # type: ignore[arg-type]  # by keyword


@pytest.mark.parametrize("parser", ["default", "msgpack"])
async def test_children_play_watchers_see_and_nothing_is_lost(
    served: Served,
    key: Path,
    mongo: Mongo,
    tmp_path: Path,
    commanded: Commanded,
    parser: str,
) -> None:
    repo = PlayRepo(mongo.database)
    path = tmp_path / "ledger.jsonl"
    script = _script(served.url, key, 5.0, watchers=2, watch_all=True, parser=parser)
    with FileLedger(path, SystemClock()) as ledger:
        crowd = Crowd(script, SystemClock(), ledger)
        await crowd.run()

    report = crowd.report()
    assert list(crowd.faults) == []
    assert report["reps_true"] == report["reps_scored"] >= 6
    assert report["sent"] == report["buffered"] == report["stored"] > 100
    assert report["frames"] > 200
    assert report["sessions"] == 3
    assert (report["refused"], report["gaps"], report["feed_altered"]) == (0, 0, 0)
    assert report["feeds"] > 50
    assert crowd.views.unknown == 0
    assert crowd.views.ended == 6
    for name in ("ack_p99_ms", "frames_ack_p99_ms", "rep_p99_ms", "feed_p99_ms"):
        assert 0 < report[name] < 5000
    assert 0 < report["grade_mean"] <= 100

    audited = await audit(path, repo)
    assert audited.total.clean
    assert audited.total.sent == audited.total.found == report["sent"]
    for session_id in crowd.sessions:
        sets = await rescore_session(repo, catalogue(), session_id)
        assert sets
        assert all(one.equal for one in sets)

    status, out = await commanded("audit", "--ledger", str(path), "--json")
    assert (status, json.loads(out)["lost"]) == (0, 0)
    await mongo.database.frame_chunks.delete_one({"session_id": crowd.sessions[0]})
    status, out = await commanded("audit", "--ledger", str(path), "--json")
    assert status == 1
    assert json.loads(out)["lost"] == json.loads(out)["sessions"][crowd.sessions[0]]["lost"] > 0
    status, out = await commanded("audit", "--ledger", str(path))
    assert status == 1
    assert crowd.sessions[0] in out
    assert "3 sessions" in out


async def test_stop_ends_after_the_repetition_at_hand(
    served: Served, key: Path, mongo: Mongo
) -> None:
    crowd = Crowd(_script(served.url, key, None, children=2), SystemClock())
    run = asyncio.create_task(crowd.run())
    for _ in range(400):
        if min(row.reps_true for row in crowd.rows) >= 1:
            break
        await asyncio.sleep(0.025)
    crowd.stop()
    await asyncio.wait_for(run, 20)
    report = crowd.report()
    assert list(crowd.faults) == []
    assert report["reps_true"] == report["reps_scored"] >= 2
    for session_id in crowd.sessions:
        result = await PlayRepo(mongo.database).find_result(session_id)
        assert result is not None
        assert result["sealed"] == "closed"


async def test_nobody_there_is_said_at_once(key: Path) -> None:
    port = free_port("127.0.0.1", None, 0)
    crowd = Crowd(_script(f"http://127.0.0.1:{port}", key, 5.0), SystemClock())
    with pytest.raises(LineLostError, match="nobody answers"):
        await crowd.run()


def test_simulate_and_audit_from_the_command_line(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GEMGEM_DEV_KEY", raising=False)
    assert main(["simulate", "--url", "http://127.0.0.1:9"]) == 2
    assert "no development key" in capfd.readouterr().err
    monkeypatch.delenv("GEMGEM_MONGO_URL", raising=False)
    assert load_settings().mongo_url is None
    assert main(["audit", "--ledger", str(tmp_path / "none")]) == 2
    assert "GEMGEM_MONGO_URL" in capfd.readouterr().err
    with pytest.raises(SystemExit):
        main(["simulate", "--motion", "juggle"])
    assert "no child can play 'juggle'" in capfd.readouterr().err


@pytest.mark.timeout(120)
async def test_a_guardians_own_children_play_by_their_sign_in(
    served: Served,
    key: Path,
    mongo: Mongo,
    mongo_url: str,
    redis_url: str,
    mongo_database: str,
    redis_prefix: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    settings = settings_of(mongo_url, redis_url, mongo_database, redis_prefix, key)
    async with seeding(settings, SystemClock()) as seeder:
        village = await settle(seeder)
    password = next(p["password"] for p in village["people"] if p["email"] == MINA.email)
    monkeypatch.delenv("GEMGEM_DEV_KEY", raising=False)
    words = ["simulate", "--url", served.url, "--sign-in", MINA.email, "--seconds", "3", "--json"]
    words += ["--watchers", "1"]
    monkeypatch.delenv("GEMGEM_PASSWORD", raising=False)
    assert await asyncio.to_thread(main, words) == 2
    assert "GEMGEM_PASSWORD" in capfd.readouterr().err
    status, out, err = await run(*words, GEMGEM_PASSWORD=password)
    assert status == 0, err
    report = json.loads(out)
    assert (report["children"], report["sessions"], report["errors"]) == (3, 3, 0)
    assert report["feeds"] > 0, "the watcher is the guardian, who may see the own children"
    played = await mongo.database["sessions"].distinct("child_id")
    assert set(played) == {"c_seed_jiu", "c_seed_seoyeon", "c_seed_hajun"}
    monkeypatch.setenv("GEMGEM_PASSWORD", "not the password")
    assert await asyncio.to_thread(main, words) == 2
    assert "E-mail or password is wrong" in capfd.readouterr().err
