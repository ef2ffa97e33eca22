"""The weekly look at what a child played, and what follows of it for the grade."""

import logging
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any, Final

from config import metrics
from config.clock import Clock
from models.attributes.actions import Attributes
from models.children.localday import start_of
from models.children.records import Child, Consent, child_of
from models.clinic.grade_records import (
    WEEK,
    GradeChange,
    Limits,
    Proposal,
    ProposalStatus,
    Untrue,
    Week,
    proposal_id,
    proposal_of,
)
from models.clinic.grade_repo import GradeRepo
from models.clinic.grade_rules import explained, monday_of, played_of, proposed, untrue, week_of
from models.db import DuplicateKeyError
from models.play.repo import PlayRepo

log = logging.getLogger(__name__)

LEASE: Final = timedelta(seconds=60)
"""A worker that is gone holds a child up for that long; what two find at once is written once."""
PUT_OFF: Final = timedelta(hours=1)
"""A child that cannot be looked at is tried again then."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class GradeWeeks:
    """Looks at each child once a week, some hours after its local week is over.

    Args:
        wait: how long after its end a week is looked at.
        day_start_hour: wall time at which a local day starts.
    """

    def __init__(
        self,
        repo: GradeRepo,
        play: PlayRepo,
        attributes: Attributes,
        clock: Clock,
        limits: Limits,
        *,
        wait: timedelta,
        day_start_hour: int,
    ) -> None:
        self._repo = repo
        self._play = play
        self._attributes = attributes
        self._clock = clock
        self._limits = limits
        self._wait = wait
        self._hour = day_start_hour

    async def claim(self) -> dict[str, Any] | None:
        """Return a child that is due and hold it for a while; None if there is none."""
        now = self._clock.now()
        return await self._repo.claim(now, now + LEASE)

    async def put_off(self, claimed: dict[str, Any]) -> None:
        """Try a child again later."""
        await self._repo.pass_over(claimed, self._clock.now() + PUT_OFF)

    async def look(self, claimed: dict[str, Any]) -> None:
        """Look at the week that a child finished last, and do what follows of it.

        A week that is looked at again, for instance since the family moved, changes nothing twice.
        """
        child, now = child_of(claimed), self._clock.now()
        running = monday_of(child.local_date(now - self._wait, self._hour))
        due_at = start_of(child.zones, running + WEEK, self._hour) + self._wait
        last = running - WEEK
        if not child.consents_to(Consent.PLAY_DATA):
            found = await self._repo.find_open(child.id)
            if found is not None:
                why = Untrue.CONSENT_WITHDRAWN
                await self._repo.withdraw(proposal_of(found), why, now, claimed)
            await self._repo.pass_over(claimed, due_at)
            return
        weeks = await self._weeks(child, last)
        proposal = await self._speaks_for(claimed, child, weeks, now)
        if proposal is None:
            await self._repo.pass_over(claimed, due_at)
            return
        try:
            done = await self._act(claimed, child, proposal, due_at, now)
        except DuplicateKeyError:
            await self._repo.pass_over(claimed, due_at)  # its outcome stands already
            return
        if not done:
            log.info("child %s: decided on meanwhile; its week is looked at again", child.id)

    async def _weeks(self, child: Child, last: date) -> tuple[Week, Week]:
        """Return the finished week and the one before it."""
        first = start_of(child.zones, last - WEEK, self._hour)
        end = start_of(child.zones, last + WEEK, self._hour)
        records = await self._play.list_sets(child.id, _us(first), _us(end))
        played = [
            played_of(record, child.local_date(_at(record["started_us"]), self._hour))
            for record in records
        ]
        older, newer = (week_of(day, played, self._limits) for day in (last - WEEK, last))
        return older, newer

    async def _speaks_for(
        self, claimed: dict[str, Any], child: Child, weeks: tuple[Week, Week], now: datetime
    ) -> Proposal | None:
        """Return the proposal to make or to go by now; one that is open and untrue is withdrawn."""
        pinned = await self._attributes.pins_difficulty(child.id)
        since = child.grade_since and child.local_date(child.grade_since, self._hour)
        after = None if pinned else proposed(child.grade, weeks, since)
        asked = child.has_therapist(now)
        found = await self._repo.find_open(child.id)
        if found is not None:
            standing = proposal_of(found)
            why = untrue(standing, child.grade_n, weeks[-1], pinned=pinned)
            if why is None:
                # The care ended, and the weeks still agree: the rule goes on by itself.
                return standing if after is not None and not asked else None
            await self._repo.withdraw(standing, why, now, claimed)
        if after is None:
            return None
        return Proposal(
            id=proposal_id(child.id, weeks[-1].monday),
            child_id=child.id,
            before=child.grade,
            after=after,
            grade_n=child.grade_n,
            weeks=weeks,
            limits=self._limits,
            status=ProposalStatus.OPEN if asked else ProposalStatus.APPLIED,
            made_at=now,
            settled_at=None if asked else now,
        )

    async def _act(
        self,
        claimed: dict[str, Any],
        child: Child,
        proposal: Proposal,
        due_at: datetime,
        now: datetime,
    ) -> bool:
        """Propose to the therapist, or change the grade where there is none to ask."""
        pinned = partial(self._attributes.pins_difficulty, child.id)
        if child.has_therapist(now):
            status = ProposalStatus.OPEN
            done = await self._repo.propose(claimed, proposal, due_at, pinned)
        else:
            status = ProposalStatus.APPLIED
            change = GradeChange(
                child_id=child.id,
                n=child.grade_n + 1,
                before=child.grade,
                after=proposal.after,
                source="rule",
                reason=explained(proposal.weeks)[child.locale],
                by=None,
                at=now,
                proposal=proposal.id,
            )
            done = await self._repo.apply(claimed, proposal, change, due_at, pinned)
        if done:
            metrics.GRADE_PROPOSALS.labels(status.value).inc()
        return done


def _us(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(microseconds=1)


def _at(time_us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=time_us)
