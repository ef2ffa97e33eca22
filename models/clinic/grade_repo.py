"""Grades and their proposals in MongoDB: the only place that queries them.

Whatever decides on a grade writes the child's own document in the same transaction, on the
condition that the grade was changed no more often than it knew. So of two that decide at once one
is in time, and no proposal outlives the grade it was made for. A consent stands in that document,
and a trial writes it too: whether the rule may go by what was played is read in the transaction.
"""

from collections.abc import Awaitable, Callable
from datetime import date, datetime
from typing import Any, Final

from models.children.records import Consent
from models.clinic.grade_records import (
    GradeChange,
    Proposal,
    ProposalStatus,
    Untrue,
    change_document,
    proposal_document,
)
from models.db import AFTER, Mongo, Session

Document = dict[str, Any]
Pinned = Callable[[Session], Awaitable[bool]]
"""Tells, within a transaction, whether a trial says how hard the child plays."""
_VIEWING: Final = f"consents.{Consent.THERAPIST_VIEWING}.given"
_PLAYED: Final = {f"consents.{Consent.PLAY_DATA}.given": True}


class GradeRepo:
    """Reads and writes grades, their history, proposals, and which weeks were looked at.

    Raises:
        models.db.DatabaseError: the database did not answer as it should; see `UNREACHABLE`.
    """

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._db = mongo.database

    async def ensure_indexes(self) -> None:
        """Make the indexes the queries below use; those that exist are left alone."""
        await self._db["grade_history"].create_index([("child_id", 1), ("n", -1)], unique=True)
        proposals = self._db["grade_proposals"]
        await proposals.create_index([("child_id", 1), ("week", -1)])
        await proposals.create_index(
            "child_id",
            unique=True,
            partialFilterExpression={"open": True},
            name="one_open_of_a_child",
        )
        await self._db["children"].create_index([("removed_at", 1), ("grade_look.due_at", 1)])

    # -- changes

    async def add_change(self, change: GradeChange) -> bool:
        """Change a grade and write it down; False if another change came before.

        A proposal that is open is withdrawn with it.
        """

        async def work(session: Session) -> bool:
            if not await self._change(change, {}, {}, session):
                return False
            await self._withdraw(
                {"child_id": change.child_id}, Untrue.GRADE_CHANGED, change.at, session
            )
            return True

        return await self._mongo.transact(work)

    async def _change(
        self, change: GradeChange, more: Document, also: Document, session: Session
    ) -> bool:
        """Change a grade that is as it was, `more` being so, and set `also` with it."""
        done = await self._db["children"].update_one(
            {"_id": change.child_id, "removed_at": None, "grade_n": change.n - 1, **more},
            {
                "$set": {
                    "grade": change.after,
                    "grade_n": change.n,
                    "grade_since": change.at,
                    "grade_proposed": None,
                    **also,
                }
            },
            session=session,
        )
        if not done.matched_count:
            return False
        await self._db["grade_history"].insert_one(change_document(change), session=session)
        return True

    async def list_changes(
        self, child_id: str, limit: int, before: int | None = None
    ) -> list[Document]:
        """Return the changes of a child's grade, the newest first, those below a number."""
        query: Document = {"child_id": child_id}
        if before is not None:
            query["n"] = {"$lt": before}
        cursor = self._db["grade_history"].find(query).sort("n", -1)
        found: list[Document] = await cursor.to_list(limit)
        return found

    # -- proposals and what people decide

    async def find_proposal(self, child_id: str, proposal_id: str) -> Document | None:
        """Return a proposal on a child."""
        query = {"_id": proposal_id, "child_id": child_id}
        found: Document | None = await self._db["grade_proposals"].find_one(query)
        return found

    async def find_open(self, child_id: str) -> Document | None:
        """Return the proposal on a child that is open."""
        query = {"child_id": child_id, "open": True}
        found: Document | None = await self._db["grade_proposals"].find_one(query)
        return found

    async def list_proposals(
        self, child_id: str, limit: int, before: date | None = None
    ) -> list[Document]:
        """Return the proposals on a child, the newest first, of weeks before one."""
        query: Document = {"child_id": child_id}
        if before is not None:
            query["week"] = {"$lt": before.isoformat()}
        cursor = self._db["grade_proposals"].find(query).sort("week", -1)
        found: list[Document] = await cursor.to_list(limit)
        return found

    async def accept(self, proposal: Proposal, change: GradeChange, pinned: Pinned) -> bool:
        """Do what a proposal says; False if it is not open any more.

        One that may not be gone by is withdrawn instead.
        """

        async def work(session: Session) -> bool:
            why = await self._why_not(proposal.child_id, pinned, session)
            if why is not None:
                await self._take_back(proposal, why, change.at, session)
                return False
            said = {"settled_at": change.at, "settled_by": change.by, "reason": change.reason}
            key = {"_id": proposal.id}
            if not await self._settle(key, ProposalStatus.ACCEPTED, said, session):
                return False
            if not await self._change(change, {}, {}, session):
                await session.abort_transaction()
                return False
            return True

        return await self._mongo.transact(work)

    async def _why_not(self, child_id: str, pinned: Pinned, session: Session) -> Untrue | None:
        if await pinned(session):
            return Untrue.TRIAL
        consented = await self._db["children"].find_one(
            {"_id": child_id, **_PLAYED}, {"_id": 1}, session=session
        )
        return Untrue.CONSENT_WITHDRAWN if consented is None else None

    async def decline(self, proposal: Proposal, by: str, reason: str, now: datetime) -> bool:
        """Leave a grade as it is; False if the proposal is not open any more."""

        async def work(session: Session) -> bool:
            said = {"settled_at": now, "settled_by": by, "reason": reason}
            key = {"_id": proposal.id}
            if not await self._settle(key, ProposalStatus.DECLINED, said, session):
                return False
            await self._db["children"].update_one(
                {"_id": proposal.child_id},
                {"$set": {"grade_since": now, "grade_proposed": None}},
                session=session,
            )
            return True

        return await self._mongo.transact(work)

    async def withdraw(
        self, proposal: Proposal, why: Untrue, now: datetime, claimed: Document
    ) -> None:
        """Take an open proposal back; doing it again changes nothing.

        Args:
            claimed: the child as it was claimed; nothing is done if it is not so any more.
        """

        async def work(session: Session) -> None:
            if not await self._take_back(proposal, why, now, session, _held(claimed)):
                await session.abort_transaction()

        await self._mongo.transact(work)

    async def _take_back(
        self,
        proposal: Proposal,
        why: Untrue,
        now: datetime,
        session: Session,
        child: Document | None = None,
    ) -> bool:
        """Withdraw a proposal that is open, and let its child not wait for it any more."""
        if not await self._withdraw({"_id": proposal.id}, why, now, session):
            return False
        done = await self._db["children"].update_one(
            child or {"_id": proposal.child_id}, {"$set": {"grade_proposed": None}}, session=session
        )
        return bool(done.matched_count)

    async def _withdraw(self, key: Document, why: Untrue, now: datetime, session: Session) -> bool:
        said = {"settled_at": now, "reason": why.value}
        return await self._settle(key, ProposalStatus.WITHDRAWN, said, session)

    async def _settle(
        self, key: Document, status: ProposalStatus, said: Document, session: Session
    ) -> bool:
        done = await self._db["grade_proposals"].update_one(
            {**key, "open": True},
            {"$set": {"status": status.value, **said}, "$unset": {"open": ""}},
            session=session,
        )
        return bool(done.matched_count)

    # -- the weeks that were looked at

    async def claim(self, now: datetime, until: datetime) -> Document | None:
        """Return a child whose week is to be looked at and nobody does, and hold it until then.

        A child that was never looked at is due.
        """
        found: Document | None = await self._db["children"].find_one_and_update(
            {
                "removed_at": None,
                "grade_look.due_at": {"$not": {"$gt": now}},
                "grade_look.until": {"$not": {"$gt": now}},
            },
            {"$set": {"grade_look.until": until}},
            sort=[("grade_look.due_at", 1)],
            return_document=AFTER,
        )
        return found

    async def pass_over(self, claimed: Document, due_at: datetime) -> None:
        """Let a child be, and look again then; soon, if somebody decided meanwhile."""
        await self._db["children"].update_one(
            _held(claimed), {"$set": {"grade_look": {"due_at": due_at}}}
        )

    async def propose(
        self, claimed: Document, proposal: Proposal, due_at: datetime, pinned: Pinned
    ) -> bool:
        """Keep an open proposal after the look at a week; False if it may not be now.

        That is when somebody decided meanwhile, or it rests on what may not be gone by.

        Raises:
            DuplicateKeyError: this week was proposed after before, or another one is open.
        """

        async def work(session: Session) -> bool:
            if await pinned(session):
                return False
            done = await self._db["children"].update_one(
                {**_held(claimed), **_PLAYED, "removed_at": None},
                {"$set": {"grade_proposed": proposal.after, "grade_look": {"due_at": due_at}}},
                session=session,
            )
            if done.matched_count:
                row = proposal_document(proposal)
                await self._db["grade_proposals"].insert_one(row, session=session)
            return bool(done.matched_count)

        return await self._mongo.transact(work)

    async def apply(
        self,
        claimed: Document,
        proposal: Proposal,
        change: GradeChange,
        due_at: datetime,
        pinned: Pinned,
    ) -> bool:
        """Change a grade after the look at a week; False if it may not be now.

        That is when somebody decided meanwhile, a therapist may be asked by now, or it rests on
        what may not be gone by.

        Args:
            proposal: a new one, applied; or the one that is open, which is settled.

        Raises:
            DuplicateKeyError: this week was proposed after before.
        """
        nobody = [
            {"care": {"$not": {"$elemMatch": {"until": {"$gt": change.at}}}}},
            {_VIEWING: {"$ne": True}},
        ]

        async def work(session: Session) -> bool:
            if await pinned(session):
                return False
            more = {**_held(claimed), **_PLAYED, "$or": nobody}
            if not await self._change(change, more, {"grade_look": {"due_at": due_at}}, session):
                return False
            if proposal.status is not ProposalStatus.OPEN:
                row = proposal_document(proposal)
                await self._db["grade_proposals"].insert_one(row, session=session)
                return True
            key, said = {"_id": proposal.id}, {"settled_at": change.at}
            if not await self._settle(key, ProposalStatus.APPLIED, said, session):
                await session.abort_transaction()
                return False
            return True

        return await self._mongo.transact(work)


def _held(claimed: Document) -> Document:
    """Return what finds a child while this worker holds it and nobody decided on its grade."""
    return {
        "_id": claimed["_id"],
        "grade_look.until": claimed["grade_look"]["until"],
        "grade_n": claimed["grade_n"],
        "grade_since": claimed.get("grade_since"),
    }
