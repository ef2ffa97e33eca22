"""What holds of an account for a time: set by admins alone, written down, policy and no role."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from models.children.records import CHILDREN_MAX
from models.withdrawal.erasure import Erasure
from server.lifespan import PARTS
from tests.flows.api import CHILD
from tests.flows.desk import Scene, desk


@pytest.fixture
async def scene(settings: Settings, tmp_path: Path) -> AsyncIterator[Scene]:
    async with desk(settings, tmp_path) as scene:
        yield scene


def of(scene: Scene, rest: str = "/children-limits") -> str:
    return f"/users/{scene.mother_id}{rest}"


async def add_children(scene: Scene, many: int) -> list[int]:
    """Add children one after the other; return the statuses."""
    return [(await scene.mother.call("POST", "/v1/children", CHILD)).status for _ in range(many)]


async def test_a_home_has_more_children_than_a_family(scene: Scene) -> None:
    set_ = await scene.ask("POST", of(scene), {"most": 3})
    assert set_.status == 201, set_.body
    assert (set_["type"], set_["value"], set_["holds"]) == ("CHILDREN_LIMIT", {"most": 3}, True)
    assert (set_["setBy"], set_["reason"]) == ("admin-1", "a test of what admins do")
    assert await add_children(scene, 3) == [201, 201, 409], "one was there"
    roles = (await scene.mother.me())["roles"]
    assert roles == ["guardian"], "no role comes of it"

    closed = await scene.ask("DELETE", of(scene, f"/attributes/{set_['id']}"))
    again = await scene.ask("DELETE", of(scene, f"/attributes/{set_['id']}"))
    assert (closed["holds"], closed["closeReason"]) == (False, "a test of what admins do")
    assert again.body == closed.body
    assert await add_children(scene, 1) == [201], "the usual number holds again"

    await scene.ask("POST", of(scene), {"most": CHILDREN_MAX + 1})
    assert await add_children(scene, CHILDREN_MAX - 2) == [201] * (CHILDREN_MAX - 3) + [409]


async def test_it_holds_for_its_time_alone(scene: Scene) -> None:
    ahead = {"most": 1, "validFrom": "2999-01-01T00:00:00Z"}
    set_ = await scene.ask("POST", of(scene), ahead)
    assert set_["holds"] is False
    assert await add_children(scene, 1) == [201]
    assert (await scene.ask("POST", of(scene), {"most": 1})).code == "conflict"
    await scene.ask("DELETE", of(scene, f"/attributes/{set_['id']}"))
    over = {"most": 1, "validFrom": "2020-01-01T00:00:00Z", "validTo": "2021-01-01T00:00:00Z"}
    assert (await scene.ask("POST", of(scene), over)).status == 201
    assert await add_children(scene, 1) == [201]
    assert (await scene.ask("POST", of(scene), {"most": 1})).status == 201, "what is over is closed"
    listed = (await scene.ask("GET", of(scene, "/attributes")))["items"]
    assert sorted(one["holds"] for one in listed) == [False, False, True]


async def test_one_is_set_at_a_time_and_each_is_written_down(scene: Scene) -> None:
    outcomes = await asyncio.gather(
        *(scene.ask("POST", of(scene), {"most": n}) for n in range(1, 6))
    )
    assert sorted(one.status for one in outcomes) == [201] + [409] * 4
    acts = [act["action"] for act in await scene.acts()]
    assert acts.count("POST /v1/admin/users/{userId}/children-limits") == 5


@pytest.mark.parametrize(
    "body", [{}, {"most": 0}, {"most": 501}, {"most": 3, "role": "admin"}, {"most": "3"},
             {"most": 3, "validFrom": "2026-02-01T00:00:00Z", "validTo": "2026-01-01T00:00:00Z"}],
)  # fmt: skip
async def test_what_is_no_limit_is_refused(scene: Scene, body: dict[str, Any]) -> None:
    assert (await scene.ask("POST", of(scene), body)).code == "invalid"


async def test_admins_alone_say_why_of_an_account_there_is(scene: Scene) -> None:
    unreasoned = await scene.admin.call("POST", f"/v1/admin{of(scene)}", {"most": 3})
    assert unreasoned.code == "invalid"
    for method, path in (
        ("POST", "/children-limits"), ("GET", "/attributes"), ("DELETE", "/attributes/at_1"),
    ):  # fmt: skip
        body = {"most": 3} if method == "POST" else None
        refused = await scene.mother.call(method, f"/v1/admin{of(scene, path)}", body)
        assert refused.code == "forbidden"
        for nobody in ("u_nobody", scene.child_id):
            # What holds of a child is reached by the guarded door alone.
            missing = await scene.ask(method, f"/users/{nobody}{path}", body)
            assert missing.code == "not_found"
    assert (await scene.ask("DELETE", of(scene, "/attributes/at_1"))).code == "not_found"


async def test_it_goes_with_the_account(scene: Scene) -> None:
    await scene.ask("POST", of(scene), {"most": 3})
    users = scene.mongo.database["users"]
    await users.update_one({"_id": scene.mother_id}, {"$set": {"status": "erasing"}})
    assert (await scene.ask("POST", of(scene), {"most": 4})).code == "conflict"
    served = scene.town.served
    prefix = served.settings.store.redis_prefix
    erasure = Erasure(scene.mongo.database, served.app[PARTS].background.stores.redis, prefix)
    gone = await erasure.erase_account(scene.mother_id, (), "")
    assert gone["user_attributes"] == 1
