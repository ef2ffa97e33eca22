"""A child's own tablet: let in by a guardian, playing one child, ended by the family."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from config.settings import Settings
from tests.flows.api import CHILD
from tests.flows.client import OPEN, connected
from tests.flows.people import Person, Town, town

TABLET = {"device": {"id": "tablet-0001", "name": "지우 태블릿", "platform": "android"}}
WITHIN = 2.0


@pytest.fixture
async def here(settings: Settings, tmp_path: Path) -> AsyncIterator[Town]:
    async with town(settings, tmp_path) as running:
        yield running


@pytest.fixture
async def mother(here: Town) -> Person:
    person = here.person()
    return person.keep(await person.sign_up("mother@example.com", zone="America/New_York"))


async def added(mother: Person) -> str:
    """Add a child that may play, and return its path."""
    made = await mother.call(
        "POST", "/v1/children", {k: v for k, v in CHILD.items() if k != "zone"}
    )
    assert made.status == 201, made.body
    assert made["zone"] == "America/New_York", "the guardian's own"
    path = f"/v1/children/{made['id']}"
    given = {"given": True, "version": 1, "locale": "ko"}
    assert (await mother.call("PUT", f"{path}/consents/play_data", given)).status == 200
    return path


async def let_in(guardian: Person, path: str) -> Person:
    """Return the tablet that a guardian lets in."""
    done = await guardian.call("POST", f"{path}/devices", TABLET)
    assert done.status == 201, done.body
    return guardian.another("tablet-0001").keep(done)


def opening(path: str) -> dict[str, Any]:
    return {**OPEN, "child_id": path.rpartition("/")[2], "client_key": str(uuid4())}


async def test_a_tablet_plays_its_child_and_goes_on_by_its_own_tokens(mother: Person) -> None:
    path, other = await added(mother), await added(mother)
    tablet = await let_in(mother, path)
    tablet.keep(await tablet.refresh())
    assert (await tablet.call("GET", path)).status == 200
    for method, where in (
        ("GET", other),
        ("DELETE", path),
        ("GET", f"{path}/devices"),
        ("GET", "/v1/me"),
    ):
        assert (await tablet.call(method, where)).status in (403, 404)
    async with connected(tablet.url, "/game", tablet.access) as player:
        assert await player.code("session:open", opening(other)) == "not_found"
        await player.ok("session:open", opening(path))


@pytest.mark.parametrize("how", ["taken away", "child removed", "signed out everywhere"])
async def test_a_tablet_ends_within_two_seconds(mother: Person, how: str) -> None:
    path = await added(mother)
    tablet = await let_in(mother, path)
    (listed,) = (await mother.call("GET", f"{path}/devices"))["items"]
    assert (listed["deviceName"], listed["childId"]) == ("지우 태블릿", path.rpartition("/")[2])
    async with connected(tablet.url, "/game", tablet.access) as player:
        await player.ok("session:open", opening(path))
        if how == "taken away":
            gone = await mother.call("DELETE", f"{path}/devices/{listed['id']}")
        elif how == "child removed":
            gone = await mother.call("DELETE", path)
        else:
            gone = await mother.call("DELETE", "/v1/sign-ins")
        assert gone.status == 204
        await player.until("closed" if how == "child removed" else "revoked", seconds=WITHIN)
    assert (await tablet.refresh()).status == 401


async def test_every_guardian_sees_and_ends_the_familys_tablets(here: Town, mother: Person) -> None:
    path = await added(mother)
    father = here.person("device-0002")
    father.keep(await father.sign_up("father@example.com"))
    code = (await mother.call("POST", f"{path}/guardian-invites"))["code"]
    assert (await father.call("POST", "/v1/guardian-invites/accept", {"code": code})).status == 200
    hers, his = await let_in(mother, path), await let_in(father, path)
    listed = (await father.call("GET", f"{path}/devices"))["items"]
    assert len(listed) == 2
    gone = await mother.call("GET", "/v1/sign-ins")
    hers_id = next(one["id"] for one in gone["items"] if one["childId"])
    assert (await father.call("DELETE", f"{path}/devices/{hers_id}")).status == 204
    assert (await hers.refresh()).status == 401
    assert (await father.call("DELETE", f"{path}/devices/{hers_id}")).code == "not_found"
    own = (await father.call("GET", "/v1/me"))["id"]
    assert (await father.call("DELETE", f"{path}/guardians/{own}")).status == 204
    assert (await his.refresh()).status == 401, "goes with the guardian who let it in"


async def test_a_stranger_lets_no_tablet_in(here: Town, mother: Person) -> None:
    path = await added(mother)
    stranger = here.person("device-0003")
    stranger.keep(await stranger.sign_up("stranger@example.com"))
    assert (await stranger.call("POST", f"{path}/devices", TABLET)).code == "not_found"
    assert (await stranger.call("GET", f"{path}/devices")).code == "not_found"
