"""The guarded door to everything about a child: one question, one answer, written down."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from config import metrics
from config.clock import Clock
from models.accounts.records import Principal, Role
from models.audit.log import AuditLog
from models.audit.records import Look
from models.children.localday import DEFAULT_ZONE, first_span
from models.children.records import Child, Consent, alias_of, child_of
from models.children.repo import Asker, ChildRepo, Document, Way
from models.db import DatabaseError
from models.errors import AppError, ErrorCode

STAFF: Final = frozenset({Way.THERAPIST, Way.SERVICE, Way.ADMIN})
"""Those whose looks are written down."""
_ORDER: Final = (Way.GUARDIAN, Way.CHILD, Way.THERAPIST, Way.ADMIN, Way.SERVICE)
"""Somebody who is several things reaches a child as the first of them that fits."""
ANSWER_SECONDS: Final = 3.0
"""The database is waited for that long."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a child is reached for: as what one may, and what must be agreed to."""

    ways: frozenset[Way]
    needs: Consent | None = None
    live: bool = False
    """On the way of live play, where a development token's own grant asks nobody."""


def _to(*ways: Way, needs: Consent | None = None, live: bool = False) -> Purpose:
    return Purpose(frozenset(ways), needs, live)


_SEEN = (Way.GUARDIAN, Way.THERAPIST, Way.ADMIN)
PURPOSES: Final = {
    # Of routes that say nothing else: their roles decide, the door says whose child it is.
    "read": _to(*_SEEN, Way.CHILD, Way.SERVICE),
    "write": _to(*_SEEN, Way.CHILD),
    "family": _to(Way.GUARDIAN, Way.ADMIN),
    "consent": _to(Way.GUARDIAN),
    "clinical": _to(Way.THERAPIST, Way.ADMIN),
    "trial": _to(Way.ADMIN),
    "list": _to(Way.GUARDIAN, Way.THERAPIST),
    "play": _to(Way.GUARDIAN, Way.CHILD, needs=Consent.PLAY_DATA, live=True),
    "watch": _to(*_SEEN, live=True),
}


@dataclass(frozen=True, slots=True)
class Visit:
    """How somebody comes to a child's data: what is kept of those who looked."""

    purpose: str
    """A key of `PURPOSES`: `read`, `write`, or what the route says."""
    what: str
    """The route or event."""
    reason: str | None
    """Why, in the words of an admin."""
    address: str | None
    request_id: str | None
    at: datetime
    via: str = "rest"


class Access:
    """Who reaches which child."""

    def __init__(self, repo: ChildRepo, log: AuditLog, clock: Clock) -> None:
        self._repo = repo
        self._log = log
        self._clock = clock

    async def child(self, who: Principal, child_id: str, visit: Visit) -> Child:
        """Return the child if `who` may reach it for this purpose.

        A look of staff is in the access log before this returns.

        Raises:
            AppError: `not_found`, alike for a child that does not exist and one that is not
                theirs; `forbidden` for an admin without a reason; `consent_required`; `busy`.
        """
        purpose = PURPOSES[visit.purpose]
        asker = self._asker(who, purpose)
        async with _in_time():
            if asker.ways and is_granted(who, child_id):
                return await self._granted(child_id, purpose)
            found = await self._repo.find_reachable(child_id, asker) if asker.ways else None
            if found is None:
                raise await self._denied(who, child_id)
        way = _way_of(found, asker)
        if way is Way.ADMIN and not visit.reason:
            raise AppError(ErrorCode.FORBIDDEN, "An admin who looks at a child gives a reason.")
        child = child_of(found)
        if purpose.needs is not None and not child.consents_to(purpose.needs):
            raise AppError(
                ErrorCode.CONSENT_REQUIRED,
                "A guardian must consent to this first.",
                details={"purpose": purpose.needs.value},
            )
        await self._written(who, [(child, way)], visit)
        return child

    async def reachable(
        self, who: Principal, child_ids: Iterable[str], purpose_name: str
    ) -> set[str]:
        """Return those of some children that `who` may reach; nothing of them is shown by it.

        Raises:
            AppError: `busy`.
        """
        asked = set(child_ids)
        granted = {child_id for child_id in asked if is_granted(who, child_id)}
        asker = self._asker(who, PURPOSES[purpose_name])
        rest = sorted(asked - granted)
        if not rest or not asker.ways:
            return granted
        async with _in_time():
            return granted | await self._repo.list_reachable(rest, asker)

    async def list_children(
        self, who: Principal, visit: Visit, *, after: str, limit: int
    ) -> list[Child]:
        """Return children that `who` may reach, by id from `after` on.

        Raises:
            AppError: `busy`.
        """
        asker = self._asker(who, PURPOSES[visit.purpose])
        if not asker.ways:
            return []
        async with _in_time():
            found = await self._repo.list_children(asker, after, limit)
        seen = [(child_of(document), _way_of(document, asker)) for document in found]
        await self._written(who, seen, visit)
        return [child for child, _ in seen]

    def _asker(self, who: Principal, purpose: Purpose) -> Asker:
        ways = tuple(w for w in _ORDER if w in purpose.ways and Role(w.value) in who.roles)
        return Asker(who.user_id, who.child_id, ways, self._clock.now())

    async def _granted(self, child_id: str, purpose: Purpose) -> Child:
        found = None if purpose.live else await self._repo.find(child_id)
        return granted_child(child_id) if found is None else child_of(found)

    async def _denied(self, who: Principal, child_id: str) -> AppError:
        # Asked for in both cases, so that both take as long.
        known = "other" if await self._repo.exists(child_id) else "unknown"
        role = min(role.value for role in who.roles) if who.roles else "none"
        metrics.ACCESS_DENIED.labels(role, known).inc()
        return no_such_child()

    async def _written(
        self, who: Principal, seen: Sequence[tuple[Child, Way]], visit: Visit
    ) -> None:
        at_us = (visit.at - _EPOCH) // datetime.resolution
        actor = who.actor
        looks = [
            Look(
                child_id=child.id,
                user_id=who.answerable,
                acting_for=who.user_id if actor else None,
                sign_in=who.sign_in,
                role=way.value if actor is None else Way.ADMIN.value,
                action=visit.what,
                via=visit.via,
                address=visit.address,
                trace_id=visit.request_id,
                reason=visit.reason or (actor.reason if actor else None),
                at_us=at_us,
            )
            for child, way in seen
            if way in STAFF or actor is not None
        ]
        if looks:
            await self._log.record(looks)


@asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    """Turn a database that does not answer, or not in time, into a refusal."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            yield
    except (DatabaseError, OSError, TimeoutError) as error:
        raise AppError(
            ErrorCode.BUSY, "Who may see the child cannot be looked up now.", retry_ms=1000
        ) from error


def no_such_child() -> AppError:
    """Return what is said of a child that is not there, and of one that is somebody else's."""
    return AppError(ErrorCode.NOT_FOUND, "There is no such child, or it is not yours to see.")


def is_granted(who: Principal, child_id: str) -> bool:
    """Tell whether the token itself grants the child, as only a development token can."""
    if who.child_id not in (None, child_id):
        return False
    return child_id in who.granted or "*" in who.granted


def granted_child(child_id: str) -> Child:
    """Return what is known of a child that no family has added: its id."""
    return Child(
        id=child_id,
        sealed_name=None,
        alias=alias_of(child_id),
        birth_date=None,
        sex=None,
        dominant_hand=None,
        affected_hand=None,
        diagnosed_hand=None,
        locale="ko",
        zones=(first_span(DEFAULT_ZONE, _EPOCH),),
        guardians=(),
        grade=1,
    )


def _way_of(document: Document, asker: Asker) -> Way:
    """Return as what the asker reaches a child that the query let them reach."""
    belongs = asker.user_id in document["guardians"]
    if belongs and Way.GUARDIAN in asker.ways:
        return Way.GUARDIAN
    if belongs and Way.CHILD in asker.ways:
        return Way.CHILD
    if Way.THERAPIST in asker.ways and _in_care(document, asker):
        return Way.THERAPIST
    return Way.ADMIN if Way.ADMIN in asker.ways else Way.SERVICE


def _in_care(document: Document, asker: Asker) -> bool:
    clinics = document.get("through", ())
    return any(
        care["until"] > asker.now
        and (care.get("therapist_id") == asker.user_id or care.get("clinic_id") in clinics)
        for care in document.get("care", ())
    )
