"""The guarded door: its queries read indexes, and it lets in who is named in it and nobody else."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from config.metrics import REGISTRY
from models.accounts.records import Actor, Role
from models.audit.verify import verify
from models.children.access import PURPOSES
from models.children.records import Consent, alias_of
from models.children.repo import Asker, Way, belonging, reaching
from models.db import Database, Mongo
from models.errors import AppError, ErrorCode
from tests.factories import redis_of
from tests.models.families import Stores, stores_on, visit, who_is


@pytest.fixture
async def stores(
    mongo_url: str, redis_url: str, mongo_database: str, redis_prefix: str
) -> AsyncIterator[Stores]:
    """Return the families on real stores."""
    mongo = Mongo(mongo_url, mongo_database)
    async with redis_of(redis_url) as redis:
        stores = stores_on(mongo, redis, redis_prefix)
        for repo in stores.families.indexed:
            await repo.ensure_indexes()
        yield stores
    await mongo.close()


def stages(plan: Any) -> set[str]:
    """Return the names of every stage of a plan that was run."""
    found = set()
    if isinstance(plan, dict):
        if isinstance(plan.get("stage"), str):
            found.add(plan["stage"])
        for part in plan.values():
            found |= stages(part)
    elif isinstance(plan, list):
        for part in plan:
            found |= stages(part)
    return found


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EVERYBODY = [(way,) for way in Way] + [(Way.GUARDIAN, Way.THERAPIST)]


@pytest.mark.parametrize("ways", EVERYBODY, ids="+".join)
async def test_the_door_and_its_lists_read_indexes_alone(
    stores: Stores, ways: tuple[Way, ...]
) -> None:
    database: Database = stores.mongo.database
    for n in range(30):
        await stores.add(f"c_{n}", f"u_{n}")
    asker = Asker("u_3", "c_3", ways, stores.clock.now())
    plan = await database.command(
        "explain",
        {"aggregate": "children", "pipeline": reaching(["c_3"], asker), "cursor": {}},
        verbosity="executionStats",
    )
    used = stages(plan)
    assert used & {"IXSCAN", "IDHACK"}
    assert "COLLSCAN" not in used
    if Way.ADMIN in ways or Way.SERVICE in ways:
        return  # nobody lists by these
    query = {"removed_at": None, "_id": {"$gt": ""}, "$or": belonging(asker, ["cl_1"])}
    plan = await database.command(
        "explain",
        {"find": "children", "filter": query, "sort": {"_id": 1}, "limit": 20},
        verbosity="executionStats",
    )
    assert "COLLSCAN" not in stages(plan)
    assert plan["executionStats"]["totalDocsExamined"] <= 2


@pytest.mark.parametrize(
    ("name", "query", "sort"),
    [
        ("care_assignments", {"child_id": "c"}, {"invited_at": -1}),
        ("care_assignments", {"code_index": "x", "status": "invited"}, None),
        ("guardian_invites", {"code_index": "x", "status": "open"}, None),
        ("guardian_invites", {"child_id": "c", "status": "open"}, None),
        ("consents", {"child_id": "c"}, {"at": -1, "_id": -1}),
        ("diagnoses", {"child_id": "c"}, {"diagnosed_on": -1, "at": -1, "_id": -1}),
        ("grade_history", {"child_id": "c"}, {"n": -1}),
        ("grade_proposals", {"child_id": "c"}, {"week": -1}),
        ("grade_proposals", {"child_id": "c", "open": True}, None),
        (
            "children",
            {"removed_at": None, "grade_look.due_at": {"$not": {"$gt": EPOCH}}},
            {"grade_look.due_at": 1},
        ),
        ("user_attributes", {"subject": "c"}, {"valid_from": -1}),
        ("user_attributes", {"subject": "u", "type": "CHILDREN_LIMIT", "open": True}, None),
        ("access_log", {"child_id": "c"}, {"at_us": -1, "seq": -1}),
        ("access_log", {"chain": 1}, {"seq": 1}),
        ("clinics", {"therapists": "u"}, None),
        ("children", {"care.clinic_id": "cl"}, None),
    ],
)
async def test_every_list_reads_an_index_in_its_order(
    stores: Stores, name: str, query: dict[str, Any], sort: dict[str, int] | None
) -> None:
    find = {"find": name, "filter": query, **({"sort": sort} if sort else {})}
    used = stages(await stores.mongo.database.command("explain", find, verbosity="queryPlanner"))
    assert "IXSCAN" in used
    assert not used & {"COLLSCAN", "SORT"}


async def test_those_who_ask_for_others_children_are_counted(stores: Stores) -> None:
    await stores.add("c_1", "u_1")
    other = who_is("u_2", Role.GUARDIAN)

    def counted(kind: str) -> float:
        labels = {"role": "guardian", "child": kind}
        return REGISTRY.get_sample_value("gemgem_access_denied_total", labels) or 0.0

    before = counted("other"), counted("unknown")
    assert await stores.code(other, "c_1", "read") == "not_found"
    assert await stores.code(other, "c_2", "read") == "not_found"
    assert (counted("other"), counted("unknown")) == (before[0] + 1, before[1] + 1)


async def test_somebody_with_two_roles_reaches_by_the_nearer_one(stores: Stores) -> None:
    child = await stores.add("c_1", "u_1")
    both = who_is("u_1", Role.GUARDIAN, Role.THERAPIST, Role.ADMIN)
    assert await stores.code(both, "c_1", "read") == "in"
    assert (await verify(stores.families.looks)).entries == 0, "a parent's look is no look of staff"
    assert await stores.code(both, "c_1", "clinical") == "forbidden", "as an admin, with a reason"
    assert await stores.code(both, "c_1", "clinical", reason="a good one") == "in"
    (look,) = await stores.families.looks.list_looks("c_1", 5)
    assert (look["role"], look["reason"]) == ("admin", "a good one")
    assert child.alias == alias_of("c_1")


async def test_an_admin_in_a_guardians_name_leaves_both_names(stores: Stores) -> None:
    await stores.add("c_1", "u_1")
    forced = who_is("u_1", Role.GUARDIAN, actor=Actor("a_1", "s_a", 1, "a ticket"))
    assert await stores.code(forced, "c_1", "read") == "in"
    (look,) = await stores.families.looks.list_looks("c_1", 5)
    assert (look["user_id"], look["acting_for"], look["role"]) == ("a_1", "u_1", "admin")


async def test_a_service_reaches_those_whose_family_agreed_to_research(stores: Stores) -> None:
    await stores.add("c_1", "u_1")
    service = who_is("key_1", Role.SERVICE)
    assert await stores.code(service, "c_1", "read") == "not_found"
    await stores.families.consents.give("c_1", Consent.RESEARCH, 1, "ko", "u_1")
    assert await stores.code(service, "c_1", "read") == "in"
    assert await stores.code(service, "c_1", "write") == "not_found"
    assert [x["role"] for x in await stores.families.looks.list_looks("c_1", 5)] == ["service"]


async def test_a_development_grant_reaches_what_it_names_and_no_more(stores: Stores) -> None:
    await stores.add("c_1", "u_1")
    some = who_is("dev", Role.THERAPIST, granted=frozenset({"c_9"}))
    every = who_is("dev", Role.GUARDIAN, granted=frozenset({"*"}))
    device = who_is("dev", Role.CHILD, child_id="c_9", granted=frozenset({"*"}))
    assert await stores.code(some, "c_9", "watch") == "in"
    assert await stores.code(some, "c_1", "watch") == "not_found"
    assert await stores.code(some, "c_9", "play") == "not_found", "not as a therapist"
    assert await stores.code(every, "c_9", "play") == "in"
    assert await stores.code(device, "c_9", "play") == "in"
    assert await stores.code(device, "c_1", "play") == "not_found"
    access = stores.families.access
    assert await access.reachable(some, {"c_1", "c_9"}, "watch") == {"c_9"}
    assert (await access.child(every, "c_1", visit(stores.clock))).guardians == ("u_1",)
    assert (await access.child(every, "c_8", visit(stores.clock))).sealed_name is None


async def test_a_database_that_is_away_is_told_as_busy(mongo_database: str) -> None:
    away = Mongo("mongodb://127.0.0.1:9/?connectTimeoutMS=50", mongo_database)
    async with redis_of("redis://127.0.0.1:9") as redis:
        stores = stores_on(away, redis, "x")
        access, guardian = stores.families.access, who_is("u_1", Role.GUARDIAN)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("models.children.access.ANSWER_SECONDS", 0.1)
            for call in (
                access.child(guardian, "c_1", visit(stores.clock)),
                access.reachable(guardian, {"c_1"}, "watch"),
                access.list_children(guardian, visit(stores.clock, "list"), after="", limit=5),
            ):
                with pytest.raises(AppError) as refused:
                    await call
                assert refused.value.code is ErrorCode.BUSY
    await away.close()


def test_every_purpose_is_of_somebody() -> None:
    assert all(purpose.ways for purpose in PURPOSES.values())
    assert {way for purpose in PURPOSES.values() for way in purpose.ways} == {*Way}
