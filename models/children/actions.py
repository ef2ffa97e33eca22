"""What guardians do with their children's profiles, and with each other."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from config.clock import Clock
from models.attributes.actions import Attributes
from models.children.changes import AccessChanges
from models.children.localday import CHANGE_EVERY, changed, first_span
from models.children.records import (
    CHILDREN_MAX,
    GUARDIANS_MAX,
    Child,
    Hands,
    Locale,
    Sex,
    child_of,
    name_context,
    span_document,
)
from models.children.repo import ChildRepo
from models.children.rules import (
    changed_fields,
    check_alias,
    check_birth,
    clean_name,
    code_of,
    plain_code,
)
from models.cipher import FieldCipher
from models.errors import AppError, ErrorCode

TRIES = 5
"""How often a change is made anew that another one overtook."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a guardian says of a child."""

    name: str
    birth_date: date
    sex: Sex | None
    dominant_hand: Hands | None
    affected_hand: Hands | None
    locale: Locale
    zone: str
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class Invite:
    """An invitation; its code is told once, to the one who made it."""

    id: str
    until: datetime
    code: str | None = None


class Children:
    """The children of families.

    Args:
        random: returns so many random bytes.
        day_start_hour: wall time at which a local day starts.
        invite_hours: how long an invitation can be taken.
    """

    def __init__(
        self,
        repo: ChildRepo,
        cipher: FieldCipher,
        changes: AccessChanges,
        attributes: Attributes,
        clock: Clock,
        *,
        random: Callable[[int], bytes],
        day_start_hour: int,
        invite_hours: int,
    ) -> None:
        self._repo = repo
        self._cipher = cipher
        self._changes = changes
        self._attributes = attributes
        self._clock = clock
        self._random = random
        self._hour = day_start_hour
        self._invite = timedelta(hours=invite_hours)

    def name(self, child: Child) -> str | None:
        """Return the child's name; None of a child that no family has added."""
        if child.sealed_name is None:
            return None
        return self._cipher.open(child.sealed_name, name_context(child.id))

    def today(self, child: Child) -> date:
        """Return the child's local date now."""
        return child.local_date(self._clock.now(), self._hour)

    async def add(self, child_id: str, guardian: str, said: Profile) -> Child:
        """Add a child to a family; the same id again changes nothing.

        Raises:
            AppError: `invalid`, `conflict` (so many children, or an id of somebody else's).
        """
        now = self._clock.now()
        span = first_span(said.zone, now, self._hour)
        name = clean_name(said.name, "name")
        check_birth(said.birth_date, span.floor)
        alias = None if said.alias is None else clean_name(said.alias, "alias")
        if alias is not None:
            check_alias(alias, name)
        # Against a runaway client, not a promise: two requests at once may pass it by one.
        most = await self._attributes.children_most(guardian, CHILDREN_MAX)
        if await self._repo.count_of_guardian(guardian) >= most:
            raise AppError(ErrorCode.CONFLICT, f"This guardian has at most {most} children.")
        document: dict[str, Any] = {
            "_id": child_id,
            "name": self._cipher.seal(name, name_context(child_id)),
            "alias": alias,
            "birth_date": said.birth_date.isoformat(),
            "sex": said.sex,
            "dominant_hand": said.dominant_hand,
            "affected_hand": said.affected_hand,
            "diagnosed_hand": None,
            "locale": said.locale,
            "zones": [span_document(span)],
            "zone_asked_at": None,
            "guardians": [guardian],
            "care": [],
            "consents": {},
            "grade": 1,
            "grade_n": 0,
            "version": 0,
            "created_at": now,
            "created_by": guardian,
            "removed_at": None,
        }
        if not await self._repo.insert(document):
            found = await self._repo.find(child_id)
            if found is None or found["created_by"] != guardian:
                raise AppError(ErrorCode.CONFLICT, "This child is there already.")
            document = found
        return child_of(document)

    async def change(self, child_id: str, wanted: Mapping[str, Any]) -> Child:
        """Change what is said of a child.

        Args:
            wanted: fields of `Profile` with their new values; those left out stay.

        Raises:
            AppError: `invalid`, `not_found`, `conflict` (the zone was changed a moment ago).
        """
        for _ in range(TRIES):
            found = await self._repo.find(child_id)
            if found is None:
                raise AppError(ErrorCode.NOT_FOUND, "There is no such child.")
            fields = self._fields(found, wanted)
            if not fields:
                return child_of(found)
            done = await self._repo.change(child_id, found["version"], fields)
            if done is not None:
                return child_of(done)
        raise AppError(ErrorCode.BUSY, "The child is being changed; try again.", retry_ms=500)

    def _fields(self, found: dict[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of the document to set; none when all is so already."""
        child = child_of(found)
        before = self.name(child) or ""
        name = clean_name(wanted["name"], "name") if "name" in wanted else before
        fields = {
            key: wanted[key]
            for key in ("sex", "dominant_hand", "affected_hand", "locale")
            if key in wanted
        }
        if "birth_date" in wanted:
            check_birth(wanted["birth_date"], self.today(child))
            fields["birth_date"] = wanted["birth_date"].isoformat()
        alias = found.get("alias")
        if "alias" in wanted:
            alias = wanted["alias"] and clean_name(wanted["alias"], "alias")
            fields["alias"] = alias
        if alias is not None:
            check_alias(alias, name)
        fields = changed_fields(found, fields)
        if name != before or self._cipher.is_stale(found["name"]):
            fields["name"] = self._cipher.seal(name, name_context(child.id))
        if "zone" in wanted:
            fields |= self._zone_fields(found, child, wanted["zone"])
        return fields

    def _zone_fields(self, found: dict[str, Any], child: Child, zone: str) -> dict[str, Any]:
        if zone == child.zones[-1].zone:
            return {}
        now, asked = self._clock.now(), found.get("zone_asked_at")
        if asked is not None and now < asked + CHANGE_EVERY:
            wait = asked + CHANGE_EVERY - now
            raise AppError(
                ErrorCode.CONFLICT,
                "body.zone was changed less than 24 hours ago.",
                retry_ms=int(wait / timedelta(milliseconds=1)) + 1,
            )
        spans = changed(child.zones, zone, now, self._hour)
        return {"zones": [span_document(span) for span in spans], "zone_asked_at": now}

    async def remove(self, child_id: str, by: str) -> None:
        """Take a child out of the product; doing it again changes nothing.

        What is personal leaves its document at once. Its devices, invitations and assignments
        end; what it played stays under its id.
        """
        await self._repo.remove(child_id, by, self._clock.now())
        await self._changes.tell(child_id)

    # -- guardians

    async def invite_guardian(self, invite_id: str, child_id: str, by: str) -> Invite:
        """Invite somebody to be a guardian too. The code is not kept: it is told here, once."""
        now = self._clock.now()
        code = code_of(self._random(8))
        until = now + self._invite
        document = {
            "_id": invite_id,
            "child_id": child_id,
            "code_index": self.code_index(code),
            "invited_by": by,
            "at": now,
            "until": until,
            "status": "open",
        }
        if not await self._repo.insert_invite(document):
            raise AppError(ErrorCode.CONFLICT, "This invitation is there already; make another.")
        return Invite(invite_id, until, code)

    def code_index(self, code: str) -> str:
        """Return how an invitation's code is looked up."""
        return self._cipher.index(plain_code(code), "invitation")

    async def list_invites(self, child_id: str) -> list[Invite]:
        """Return the invitations that can still be taken, without their codes."""
        found = await self._repo.list_invites(child_id, self._clock.now())
        return [Invite(invite["_id"], invite["until"]) for invite in found]

    async def withdraw_invite(self, child_id: str, invite_id: str) -> None:
        """Withdraw an invitation; doing it again changes nothing.

        Raises:
            AppError: `not_found`; there is none, or it was taken.
        """
        if not await self._repo.withdraw_invite(child_id, invite_id):
            raise AppError(ErrorCode.NOT_FOUND, "There is no such open invitation.")

    async def accept_invite(self, code: str, user_id: str) -> Child:
        """Make somebody a guardian by the code they were given; the same again changes nothing.

        Raises:
            AppError: `not_found`, alike for a code that never was, is used, withdrawn or over;
                `conflict` when the child can have no more guardians.
        """
        index = self.code_index(code)
        found = await self._repo.take_invite(index, user_id, self._clock.now())
        if found is None:
            found = await self._why_not(index, user_id)
        return child_of(found)

    async def _why_not(self, code_index: str, user_id: str) -> dict[str, Any]:
        """Return the child of somebody who is its guardian already, or say what is wrong."""
        invite = await self._repo.find_invite({"code_index": code_index})
        child = None if invite is None else await self._repo.find(invite["child_id"])
        if invite is not None and child is not None:
            if user_id in child["guardians"] and invite["status"] in ("open", "used"):
                return child
            full = len(child["guardians"]) >= GUARDIANS_MAX
            if full and invite["status"] == "open" and invite["invited_by"] in child["guardians"]:
                raise AppError(
                    ErrorCode.CONFLICT, f"A child has at most {GUARDIANS_MAX} guardians."
                )
        raise AppError(ErrorCode.NOT_FOUND, "This code opens nothing: ask for a new one.")

    async def leave(self, child_id: str, user_id: str) -> None:
        """Stop being a guardian; doing it again changes nothing.

        Raises:
            AppError: `conflict`; a child keeps its last guardian.
        """
        if not await self._repo.remove_guardian(child_id, user_id):
            found = await self._repo.find(child_id)
            if found is not None and user_id in found["guardians"]:
                raise AppError(
                    ErrorCode.CONFLICT, "The last guardian cannot leave: remove the child instead."
                )
        await self._changes.tell(child_id)
