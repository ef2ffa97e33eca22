"""The first hour of a family and its therapist: real accounts, real sockets, nothing granted."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from config.settings import Settings
from models.accounts.records import Device, Role
from server.lifespan import PARTS
from tests.flows.api import CHILD
from tests.flows.client import OPEN, Client, connected
from tests.flows.people import Answer, Person, Town, town
from tests.flows.test_live_access import WITHIN, listed
from tests.flows.test_play import fist, start_of
from tests.flows.test_watch import join


@pytest.fixture
async def place(settings: Settings, tmp_path: Path) -> AsyncIterator[Town]:
    async with town(settings, tmp_path) as place:
        yield place


async def ok(person: Person, method: str, path: str, body: Any = None) -> Answer:
    answer = await person.call(method, f"/v1{path}", body)
    assert answer.status < 300, (method, path, answer.body)
    return answer


async def newcomer(place: Town, name: str, role: Role = Role.GUARDIAN) -> Person:
    """Return somebody who signed up; staff is named by the operator, and signs in again."""
    person, email = place.person(f"device-of-{name}"), f"{name}@example.com"
    person.keep(await person.sign_up(email))
    if role is not Role.GUARDIAN:
        user_id = (await person.me())["id"]
        people = place.served.app[PARTS].background.people
        assert await people.accounts.sign_ins.change_roles(user_id, [role])
        person.keep(await person.sign_in(email))
    return person


async def family(place: Town) -> tuple[Person, Person, str]:
    """Return a guardian, a therapist who has the child in care, and the child."""
    mother = await newcomer(place, "mother")
    therapist = await newcomer(place, "therapist", Role.THERAPIST)
    child_id = (await ok(mother, "POST", "/children", CHILD))["id"]
    for purpose in ("play_data", "therapist_viewing"):
        consent = {"given": True, "version": 1, "locale": "ko"}
        await ok(mother, "PUT", f"/children/{child_id}/consents/{purpose}", consent)
    invited = await ok(mother, "POST", f"/children/{child_id}/care", {})
    await ok(therapist, "POST", "/care/accept", {"code": invited["code"]})
    return mother, therapist, child_id


@asynccontextmanager
async def playing(place: Town, token: str, child_id: str) -> AsyncIterator[tuple[Client, str]]:
    """Yield a player with an open session, and the session's id."""
    async with connected(place.served.url, "/game", token) as player:
        asked = {**OPEN, "child_id": child_id, "client_key": str(uuid4())}
        yield player, (await player.ok("session:open", asked))["session_id"]


async def tablet_of(place: Town, mother: Person, child_id: str) -> tuple[str, str]:
    """Let the child's own device in, in its guardian's name; return its token and its sign-in."""
    accounts = place.served.app[PARTS].background.people.accounts
    user = await accounts.profiles.find((await mother.me())["id"])
    device = Device("tablet-0001", "태블릿", "android")
    tokens = await accounts.sign_ins.issue_child_device(user, child_id, device)
    return tokens.access, tokens.sign_in.id


async def test_from_signing_up_to_the_end_of_a_consent(place: Town) -> None:
    mother, therapist, child_id = await family(place)
    tablet, _ = await tablet_of(place, mother, child_id)
    results = f"/v1/children/{child_id}/results"
    async with (
        playing(place, tablet, child_id) as (player, session_id),
        connected(place.served.url, "/watch", therapist.access) as watcher,
    ):
        assert await listed(watcher, session_id)
        await join(watcher, session_id)
        played = fist(1)
        await player.ok("set:start", 0, start_of(played))
        sent = played.messages(2)
        for n, message in enumerate(sent):
            await player.say("frames", n + 1, message.payload)
        await watcher.until("feed")
        await player.ok("set:end", len(sent) + 1, {"set_no": 1})
        await player.ok("session:close", len(sent) + 2, {"reason": "done"})
        assert (await watcher.until("ended"))["result"]["session_id"] == session_id
    shown = await therapist.call("GET", results)
    assert [one["sessionId"] for one in shown["items"]] == [session_id]
    looks = (await ok(mother, "GET", f"/children/{child_id}/looks"))["items"]
    assert {look["action"] for look in looks} >= {"watch:join"}
    assert {look["role"] for look in looks} == {"therapist"}

    async with (
        playing(place, tablet, child_id) as (player, session_id),
        connected(place.served.url, "/watch", therapist.access) as watcher,
    ):
        assert await listed(watcher, session_id)
        await join(watcher, session_id)
        withdrawn = {"given": False, "locale": "ko"}
        await ok(mother, "PUT", f"/children/{child_id}/consents/therapist_viewing", withdrawn)
        ended = await watcher.until("ended", seconds=WITHIN)
        assert ended == {"session_id": session_id, "result": {}}
        assert await watcher.code("watch:join", {"session_id": session_id}) == "not_found"
        assert (await therapist.call("GET", results)).status == 404
        assert (await mother.call("GET", results)).status == 200
        # The child plays on: what was withdrawn is the watching.
        await player.ok("session:close", 0, {"reason": "done"})


async def test_a_renewed_token_keeps_a_line_and_a_sign_out_ends_it(place: Town) -> None:
    mother, therapist, child_id = await family(place)
    async with (
        playing(place, mother.access, child_id) as (player, _),
        connected(place.served.url, "/watch", therapist.access) as watcher,
    ):
        mother.keep(await mother.refresh())
        await player.ok("token:renew", {"token": mother.access})
        assert await player.code("token:renew", {"token": therapist.access}) == "forbidden"
        await ok(mother, "DELETE", "/sign-ins/current")
        assert (await player.until("revoked", seconds=WITHIN))["code"] == "unauthenticated"
        await ok(therapist, "DELETE", "/sign-ins")
        assert (await watcher.until("revoked", seconds=WITHIN))["code"] == "unauthenticated"


async def test_a_childs_device_plays_its_child_alone_and_ends_with_its_permit(place: Town) -> None:
    mother, _, child_id = await family(place)
    other = (await ok(mother, "POST", "/children", {**CHILD, "name": "김서연"}))["id"]
    consent = {"given": True, "version": 1, "locale": "ko"}
    await ok(mother, "PUT", f"/children/{other}/consents/play_data", consent)
    tablet, sign_in = await tablet_of(place, mother, child_id)
    asked = {**OPEN, "child_id": other, "client_key": str(uuid4())}
    async with connected(place.served.url, "/game", tablet) as player:
        assert await player.code("session:open", asked) == "not_found"
    async with playing(place, tablet, child_id) as (player, _):
        await ok(mother, "DELETE", f"/sign-ins/{sign_in}")
        assert (await player.until("revoked", seconds=WITHIN))["code"] == "unauthenticated"
