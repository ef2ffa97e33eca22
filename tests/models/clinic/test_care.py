"""Assignments, consents and clinics against a plain model of who sees whom."""

import asyncio
import os
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis.asyncio import Redis

from models.accounts.records import Role
from models.audit.verify import verify
from models.children.records import Consent
from models.db import Mongo
from models.errors import AppError
from tests.models.families import Stores, stores_on, visit, who_is

GUARDIANS, THERAPISTS, CHILDREN = ["u_1", "u_2"], ["t_1", "t_2", "t_3"], ["c_1", "c_2"]
CLINIC, MEMBERS = "cl_1", ["t_2", "t_3"]
DAYS = 10


class Model:
    """What must hold, in the plainest words: sets, and no database."""

    def __init__(self) -> None:
        self.guardian = {"c_1": "u_1", "c_2": "u_2"}
        self.consent = {(c, p): False for c in CHILDREN for p in Consent}
        self.history = {(c, p): 0 for c in CHILDREN for p in Consent}
        self.members = set(MEMBERS)
        self.care: dict[str, dict[str, Any]] = {}
        """Assignments by id: child, holder, status, until."""

    def sees(self, therapist: str, child: str, now: float) -> bool:
        holders = {therapist} | ({CLINIC} if therapist in self.members else set())
        return self.consent[child, Consent.THERAPIST_VIEWING] and any(
            a["child"] == child and a["status"] == "active" and a["holder"] in holders
            and a["until"] > now
            for a in self.care.values()
        )  # fmt: skip

    def held(self, child: str, holder: str, now: float) -> bool:
        return any(
            (a["child"], a["status"], a["holder"]) == (child, "active", holder) and a["until"] > now
            for a in self.care.values()
        )


class Care(RuleBasedStateMachine):
    """Steps of families and therapists, each on the real stores and on the model."""

    urls: ClassVar[tuple[str, str]]
    """Of MongoDB and Redis."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.codes: dict[str, str] = {}
        self.name = f"test_{os.urandom(8).hex()}"
        self.runner = asyncio.Runner()
        self.stores = self.runner.run(self.start())
        self.families = self.stores.families

    async def start(self) -> Stores:
        """Return the families of a database of this run's own."""
        mongo_url, redis_url = self.urls
        self.redis = Redis.from_url(redis_url, protocol=2)
        stores = stores_on(Mongo(mongo_url, self.name, "pymongo"), self.redis, f"test:{self.name}")
        for repo in stores.families.indexed:
            await repo.ensure_indexes()
        for child, guardian in Model().guardian.items():
            await stores.add(child, guardian)
        await stores.families.care.add_clinic(CLINIC, "의원", "clinic", "admin")
        for member in MEMBERS:
            await stores.families.care.add_therapist(CLINIC, member)
        return stores

    async def stop(self) -> None:
        """The log of all that was looked at is whole; then clear away."""
        verdict = await verify(self.families.looks)
        mongo = self.stores.mongo
        await mongo.database.client.drop_database(self.name)
        await self.redis.delete(f"test:{self.name}:access")
        await mongo.close()
        await self.redis.aclose()
        assert verdict.faults == []

    def teardown(self) -> None:
        self.runner.run(self.stop())
        self.runner.close()

    @property
    def now(self) -> float:
        return self.stores.clock.us / 1e6

    def outcome(self, call: Any) -> str:
        try:
            self.runner.run(call)
        except AppError as error:
            return error.code.value
        return "ok"

    @rule(child=st.sampled_from(CHILDREN), purpose=st.sampled_from(Consent),
          given=st.booleans(), by=st.sampled_from(GUARDIANS))  # fmt: skip
    def settle(self, child: str, purpose: Consent, given: bool, by: str) -> None:
        consents = self.families.consents
        call = (
            consents.give(child, purpose, 1, "ko", by)
            if given
            else consents.withdraw(child, purpose, "ko", by)
        )
        if by != self.model.guardian[child]:
            assert self.outcome(call) == "not_found"
            return
        assert self.outcome(call) == "ok"
        if self.model.consent[child, purpose] != given:
            self.model.history[child, purpose] += 1
        self.model.consent[child, purpose] = given

    @rule(child=st.sampled_from(CHILDREN), clinic=st.sampled_from([None, CLINIC]))
    def invite(self, child: str, clinic: str | None) -> None:
        number = f"ca_{len(self.model.care)}"
        by = self.model.guardian[child]
        _, code = self.runner.run(self.families.care.invite(number, child, clinic, DAYS, by))
        self.codes[number] = code
        self.model.care[number] = {
            "child": child, "holder": clinic, "status": "invited", "by": None,
            "until": self.now + 168 * 3600,
        }  # fmt: skip

    def drawn(self, data: st.DataObject, status: str) -> str:
        """Return the id of an assignment, most often one of this status."""
        care = self.model.care
        fitting = [n for n in sorted(care) if care[n]["status"] == status] or sorted(care)
        anyone = data.draw(st.integers(0, 3)) == 0
        return data.draw(st.sampled_from(sorted(care) if anyone else fitting))

    @precondition(lambda self: self.model.care)
    @rule(data=st.data(), therapist=st.sampled_from(THERAPISTS))
    def accept(self, data: st.DataObject, therapist: str) -> None:
        number = self.drawn(data, "invited")
        one = self.model.care[number]
        said = self.outcome(self.families.care.accept(self.codes[number], therapist))
        open_ = one["status"] == "invited" and one["until"] > self.now
        mine = one["holder"] is None or therapist in self.model.members
        holder = one["holder"] or therapist
        if not open_ or not mine:
            again = one["by"] == therapist
            assert said == ("ok" if again else "not_found")
        elif self.model.held(one["child"], holder, self.now):
            assert said == "conflict"
        else:
            assert said == "ok"
            until = self.now + DAYS * 86_400
            one.update(status="active", holder=holder, by=therapist, until=until)

    @precondition(lambda self: self.model.care)
    @rule(data=st.data(), by=st.sampled_from([*GUARDIANS, *THERAPISTS]))
    def end(self, data: st.DataObject, by: str) -> None:
        number = self.drawn(data, "active")
        one = self.model.care[number]
        care = self.families.care
        if by in GUARDIANS:
            # The door has let the guardian to this child of theirs, not to the other's.
            child = next(c for c, g in self.model.guardian.items() if g == by)
            said = self.outcome(care.end_by_family(child, number, by, admin=False))
            right = child == one["child"]
        else:
            said = self.outcome(care.end_by_therapist(number, by))
            right = one["by"] == by
        assert said == ("ok" if right else "not_found")
        if right:
            one["status"] = "ended"

    @rule(member=st.sampled_from(MEMBERS), joins=st.booleans())
    def membership(self, member: str, joins: bool) -> None:
        care = self.families.care
        change = care.add_therapist if joins else care.remove_therapist
        self.runner.run(change(CLINIC, member))
        (self.model.members.add if joins else self.model.members.discard)(member)

    @rule(hours=st.sampled_from([1, 24, DAYS * 24]))
    def wait(self, hours: int) -> None:
        self.stores.clock.move(timedelta(hours=hours).total_seconds())

    @initialize()
    def all_is_agreed_to(self) -> None:
        """Begin where most is to be lost: with every consent given."""
        assert self.outcome(self.families.care.accept("0000-0000-0000", "t_1")) == "not_found"
        for child, guardian in self.model.guardian.items():
            for purpose in (Consent.THERAPIST_VIEWING, Consent.PLAY_DATA):
                self.settle(child, purpose, True, guardian)

    @invariant()
    def the_door_says_what_the_model_says(self) -> None:
        async def look() -> None:
            for therapist in THERAPISTS:
                who = who_is(therapist, Role.THERAPIST)
                should = {c for c in CHILDREN if self.model.sees(therapist, c, self.now)}
                access = self.families.access
                assert await access.reachable(who, CHILDREN, "watch") == should
                listed = await access.list_children(
                    who, visit(self.stores.clock, "list"), after="", limit=9
                )
                assert {child.id for child in listed} == should
            for child, guardian in self.model.guardian.items():
                who = who_is(guardian, Role.GUARDIAN)
                agreed = self.model.consent[child, Consent.PLAY_DATA]
                said = await self.stores.code(who, child, "play")
                assert said == ("in" if agreed else "consent_required")

        self.runner.run(look())

    @invariant()
    def the_history_is_whole(self) -> None:
        async def look() -> None:
            for child in CHILDREN:
                rows = [row for _, row in await self.families.consents.history(child, 200)]
                for purpose in Consent:
                    numbers = sorted(row.n for row in rows if row.purpose is purpose)
                    expected = self.model.history[child, purpose]
                    assert numbers == list(range(1, expected + 1))

        self.runner.run(look())


@pytest.mark.timeout(240)
def test_who_sees_whom_is_what_the_model_says(mongo_url: str, redis_url: str) -> None:
    Care.urls = (mongo_url, redis_url)
    run_state_machine_as_test(
        Care,
        settings=hypothesis_settings(
            max_examples=14,
            stateful_step_count=25,
            deadline=None,
            database=None,
            derandomize=True,
        ),
    )
