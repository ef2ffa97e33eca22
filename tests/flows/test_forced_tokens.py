"""Admins in somebody else's name: what they may, for how long, and who hears of it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from config.settings import Settings
from models.audit.verify import verify
from server.keyring import field_cipher
from server.lifespan import PARTS
from server.parts.families import audit_repo
from tests.flows.api import CHILD
from tests.flows.client import RefusedError, connected
from tests.flows.desk import REASON, WHY, Scene, desk


@pytest.fixture
async def scene(settings: Settings, tmp_path: Path) -> AsyncIterator[Scene]:
    async with desk(settings, tmp_path) as scene:
        yield scene


async def test_a_token_to_read_reads_and_changes_nothing(scene: Scene) -> None:
    forced, _ = await scene.forced()
    said = jwt.decode(forced.access, options={"verify_signature": False})
    assert (said["sub"], said["act"]["sub"], said["scope"]) == (scene.mother_id, "admin-1", "read")
    assert said["exp"] - said["iat"] == 900
    assert (await forced.me())["email"] == "mother@example.com"
    path = f"/v1/children/{scene.child_id}"
    assert (await forced.call("GET", path))["name"] == CHILD["name"]
    for method, where, body in (
        ("PATCH", "/v1/me", {"name": "x"}),
        ("POST", "/v1/children", CHILD),
        ("PATCH", path, {"version": 0, "alias": "x"}),
        ("DELETE", path, None),
        ("DELETE", "/v1/sign-ins", None),
    ):
        refused = await forced.call(method, where, body)
        assert (refused.status, refused.code) == (403, "forbidden"), (method, where)


async def test_a_token_to_act_changes_but_not_what_is_the_persons_alone(scene: Scene) -> None:
    forced, _ = await scene.forced("act")
    assert (await forced.call("PATCH", "/v1/me", {"name": "엄마"})).status == 200
    assert (await scene.mother.me())["name"] == "엄마"
    consent = {"given": True, "locale": "ko", "version": 1}
    for method, where, body in (
        ("PUT", f"/v1/children/{scene.child_id}/consents/play_data", consent),
        ("DELETE", "/v1/sign-ins/current", None),
        ("DELETE", "/v1/sign-ins", None),
        ("PUT", "/v1/me/password", {"current": "x", "password": "y"}),
        ("POST", "/v1/me/password", {"password": "another long sentence 8"}),
        ("POST", "/v1/sign-ins/current/confirmation", {"password": "x"}),
        ("DELETE", "/v1/me/phone", None),
    ):
        refused = await forced.call(method, where, body)
        assert refused.code in ("forbidden", "reauthentication_required"), (method, where)
        assert refused.status in (401, 403)


async def test_both_names_are_written_down_and_the_family_sees_it(scene: Scene) -> None:
    forced, token_id = await scene.forced()
    assert (await forced.call("GET", f"/v1/children/{scene.child_id}")).status == 200
    asked, looked = await scene.acts()
    assert (asked["user_id"], asked["about"], asked["reason"]) == (
        "admin-1",
        scene.mother_id,
        WHY,
    )
    assert not asked["forced"]
    assert (looked["user_id"], looked["sign_in"], looked["forced"]) == ("admin-1", token_id, True)
    looks = (await scene.mother.call("GET", f"/v1/children/{scene.child_id}/looks"))["items"]
    assert [(look["userId"], look["role"], look["reason"]) for look in looks] == [
        ("admin-1", "admin", WHY)
    ]
    cipher = field_cipher(scene.town.served.settings)
    verdict = await verify(audit_repo(scene.mongo, cipher))
    assert (verdict.faults, verdict.entries) == ([], 3)


async def test_the_operators_hear_of_it_without_the_reason(scene: Scene) -> None:
    await scene.forced("act")
    async with asyncio.timeout(10):
        while not scene.discord.taken:
            await asyncio.sleep(0.05)
    note = scene.discord.taken[0]["content"]
    assert "admin-1" in note
    assert scene.mother_id in note
    assert WHY not in note


async def test_nobody_acts_in_the_name_of_an_admin(scene: Scene) -> None:
    roles = {"roles": ["guardian", "admin"]}
    users = scene.mongo.database["users"]
    await users.update_one({"_id": scene.mother_id}, {"$set": roles})
    assert (await scene.force()).code == "forbidden"


@pytest.mark.parametrize(
    "more", [{"reason": "too short"}, {"scope": "all"}, {"reason": {"$ne": 1}}]
)
async def test_a_token_needs_a_reason_and_a_scope(scene: Scene, more: dict[str, Any]) -> None:
    assert (await scene.force(**more)).code == "invalid"


async def test_a_stranger_and_an_account_that_is_not_there(scene: Scene) -> None:
    path = f"/v1/admin/users/{scene.mother_id}/tokens"
    assert (await scene.mother.call("POST", path, {"reason": WHY})).code == "forbidden"
    missing = await scene.admin.call("POST", "/v1/admin/users/u_x/tokens", {"reason": WHY})
    assert missing.code == "not_found"
    forced, _ = await scene.forced("act")
    assert (await forced.call("POST", path, {"reason": WHY})).code == "forbidden"


async def test_a_forced_token_watches_and_does_not_play(scene: Scene) -> None:
    url = scene.town.served.url
    forced, token_id = await scene.forced("act")
    with pytest.raises(RefusedError):
        async with connected(url, "/game", forced.access):
            pass
    async with connected(url, "/watch", forced.access) as watcher:
        assert await watcher.ok("live:list") == {"sessions": []}
        path = f"/v1/admin/users/{scene.mother_id}/tokens/{token_id}"
        for _ in range(2):
            assert (await scene.admin.call("DELETE", path, headers=REASON)).status == 204
        await watcher.until("revoked")
    assert (await forced.me()).code == "unauthenticated"
    listed = await scene.admin.call(
        "GET", f"/v1/admin/users/{scene.mother_id}/tokens", headers=REASON
    )
    assert [(one["id"], one["revokedBy"]) for one in listed["items"]] == [(token_id, "admin-1")]


async def test_another_account_has_not_this_token(scene: Scene) -> None:
    _, token_id = await scene.forced()
    answer = await scene.admin.call(
        "DELETE", f"/v1/admin/users/u_other/tokens/{token_id}", headers=REASON
    )
    assert answer.code == "not_found"


@pytest.mark.parametrize("whose", ["admin", "mother"])
async def test_it_ends_with_the_sign_in_of_the_admin_and_the_version_of_the_account(
    scene: Scene, whose: str
) -> None:
    forced, _ = await scene.forced()
    assert (await forced.me()).status == 200
    if whose == "admin":
        await scene.town.served.app[PARTS].background.stores.revocations.withdraw(["admin-sid"])
    else:
        assert (await scene.mother.call("DELETE", "/v1/sign-ins")).status == 204
    async with asyncio.timeout(5):
        while (await forced.me()).status == 200:
            await asyncio.sleep(0.02)
    assert (await forced.me()).code == "unauthenticated"
