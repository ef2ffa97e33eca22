"""What a child's first set calibrates serves the next ones, today and later, and is never lost."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import pymongo
import pytest

from config.settings import Settings
from models.grading.library import grading_models
from models.play.repo import PlayRepo
from server.__main__ import main
from sessions.catalogue import catalogue
from sessions.regrade import ModelChoice, regrade_session, rescored_document
from sessions.rescore import rescore_session
from sessions.synthetic import ChildParameters, SimulatedSet, play_set
from tests.flows.client import OPEN, START, Client, connected
from tests.serving import Served

CHILD = ChildParameters(side="right", rom=0.7, landmark_noise_mm=0.3)


def fist(seed: int) -> SimulatedSet:
    entry = catalogue().motion("fist")
    assert entry is not None
    return play_set(CHILD, entry.definition, reps=3, guide_period_us=1_800_000, seed=seed)


async def play(client: Client, seq: int, set_no: int) -> tuple[int, Any, Any]:
    played = fist(set_no)
    start = {**START, "set_no": set_no, "side": "right", "guide_t0_us": played.guide_t0_us}
    started = await client.ok("set:start", seq, start)
    for message in played.messages(6):
        seq += 1
        await client.say("frames", seq, message.payload)
    answer = await client.ok("set:end", seq + 1, {"set_no": set_no})
    return seq + 2, started, answer["record"]


async def opened(client: Client) -> str:
    """Open a session as soon as the child's last one has given its place back."""
    asked = {**OPEN, "child_id": "child-1", "client_key": str(uuid4())}
    for _ in range(50):
        answer = await client.ask("session:open", asked)
        if "ok" in answer:
            break
        assert answer["error"]["code"] == "session_limit"
        await asyncio.sleep(0.1)
    return str(answer["ok"]["session_id"])


async def session(served: Served, sets: int) -> tuple[str, list[Any], list[Any]]:
    starts, records = [], []
    async with connected(served.url, "/game", served.token("guardian", "child-1")) as client:
        session_id = await opened(client)
        seq = 0
        for set_no in range(1, sets + 1):
            seq, started, record = await play(client, seq, set_no)
            starts.append(started)
            records.append(record)
        await client.ok("session:close", seq, {"reason": "done"})
    return session_id, starts, records


async def test_the_first_set_calibrates_the_next_and_the_next_session(
    served: Served,
    repo: PlayRepo,
    settings: Settings,
    mongo_admin: pymongo.MongoClient[dict[str, object]],
) -> None:
    database = mongo_admin[settings.store.mongo_database]
    first, starts, records = await session(served, 2)
    assert starts[0]["anchors"] == {"rest": 35.0, "target": 220.0, "source": "default"}
    span = records[0]["span"]
    assert starts[1]["anchors"] == {"rest": span["p5"], "target": 220.0, "source": "calibration"}
    assert records[1]["anchors"]["calibration_id"] == "child-1:fist:1:right:world"

    stored = database["calibrations"].find_one({"_id": "child-1:fist:1:right:world"})
    assert stored is not None
    assert (stored["rest"], stored["session_id"], stored["set_no"]) == (span["p5"], first, 1)

    # With a profile the next session knows the role, the age and the goal as well.
    database["therapy_profiles"].insert_one(
        {
            "_id": "child-1",
            "affected_side": "right",
            "birth_date": "2018-05-01",
            "goals": [{"id": "g-7", "motion": "fist", "side": "right", "target": 160.0}],
        }
    )
    second, starts, records = await session(served, 1)
    assert starts[0]["anchors"] == {"rest": span["p5"], "target": 160.0, "source": "goal"}
    assert starts[0]["goal"] == 160.0
    assert records[0]["anchors"]["goal_id"] == "g-7"
    assert records[0]["age_band"] in {"6-8", "9-12"}
    assert "age_unknown" not in records[0]["grade_flags"]
    assert records[0]["context"]["role"] == "affected"
    assert database["calibrations"].count_documents({}) == 1

    # What counted then counts for ever: later knowledge changes no old score.
    database["calibrations"].delete_many({})
    database["therapy_profiles"].delete_many({})
    for session_id in (first, second):
        assert all(one.equal for one in await rescore_session(repo, catalogue(), session_id))


async def test_a_profile_that_cannot_be_read_leaves_the_norm(
    served: Served, settings: Settings, mongo_admin: pymongo.MongoClient[dict[str, object]]
) -> None:
    profiles = mongo_admin[settings.store.mongo_database]["therapy_profiles"]
    profiles.insert_one({"_id": "child-1", "affected_side": "middle"})
    _, starts, records = await session(served, 1)
    assert starts[0]["anchors"]["source"] == "default"
    assert records[0]["age_band"] is None


async def test_models_are_compared_beside_what_was_stored(served: Served, repo: PlayRepo) -> None:
    session_id, _, records = await session(served, 1)
    shadow = records[0]["shadow"]
    assert [one["model"]["id"] for one in shadow] == ["fist-functional"]
    assert shadow[0]["grade"] > records[0]["grade"]

    functional = ModelChoice(grading_models(), "fist-functional@1")
    standard = ModelChoice(grading_models(), "standard")
    found = await regrade_session(repo, catalogue(), session_id, functional)
    assert [one.flips for one in found] == [()]
    assert found[0].before == records[0]["grade"]
    assert found[0].after == shadow[0]["grade"]
    against = await regrade_session(repo, catalogue(), session_id, functional, standard)
    assert against[0].as_dict()["against"] == "fist-standard@1"
    assert against[0].change == found[0].change > 0
    tap = ModelChoice(grading_models(), "tap-standard")
    assert await regrade_session(repo, catalogue(), session_id, tap) == []

    documents = [rescored_document(one.again) for one in found]
    assert await repo.add_rescored(documents) == 1
    assert await repo.add_rescored(documents) == 0
    assert await repo.add_rescored([]) == 0
    assert (await repo.list_records(session_id))[0]["grade"] == records[0]["grade"]


async def test_the_command_compares_and_adds(
    served: Served,
    repo: PlayRepo,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    session_id, _, records = await session(served, 1)
    assert settings.mongo_url is not None
    monkeypatch.setenv("GEMGEM_MONGO_URL", settings.mongo_url.get_secret_value())
    monkeypatch.setenv("GEMGEM_STORE__MONGO_DATABASE", settings.store.mongo_database)

    async def run(*words: str) -> tuple[int, str]:
        status = await asyncio.to_thread(main, ["rescore", *words])
        return status, capsys.readouterr().out

    status, text = await run(session_id)
    assert status == 0
    assert "equal" in text
    status, text = await run(session_id, "--json")
    assert (status, json.loads(text)["equal"]) == (0, True)
    for which in (("--session", session_id), ("--child", "child-1"), ("--all",)):
        status, text = await run(*which, "--model", "fist-functional", "--json")
        report = json.loads(text)
        assert status == 0
        assert [one["session_id"] for one in report["sets"]] == [session_id]
        assert report["sets"][0]["before"] == records[0]["grade"]
        assert report["summary"]["added"] == (1 if which[0] == "--session" else 0)
    status, text = await run("--all", "--model", "fist-functional", "--compare", "standard")
    assert status == 0
    assert "1 sets, 1 grades change" in " ".join(text.split())
    assert (await run("--child", "nobody", "--model", "standard", "--json"))[0] == 0
    assert (await run("--session", "s_none", "--model", "standard"))[0] == 2
    assert (await run("--all"))[0] == 2
    assert (await run("--all", "--model", "fist-standard@9"))[0] == 2
    assert (await run(session_id, "--model", "standard"))[0] == 2
