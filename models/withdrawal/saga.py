"""The steps of a withdrawal. Each may be done again and changes nothing then.

Whoever works on a withdrawal can be cut off anywhere: the next one begins at the first step that
is not recorded as done, and comes to the same end.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from config.clock import Clock
from models.accounts.records import User, phone_key
from models.accounts.repo import AccountRepo
from models.accounts.revocations import Revocations
from models.accounts.sign_ins import SignIns
from models.children.changes import AccessChanges
from models.children.records import Consent, child_of
from models.children.repo import ChildRepo
from models.cipher import Context, FieldCipher
from models.clinic.records import EndReason
from models.clinic.repo import CareRepo
from models.inbox import about
from models.outbox import about_person
from models.play.erasure import PlayErasure
from models.withdrawal.erasure import Erasure, merged
from models.withdrawal.notices import Notices
from models.withdrawal.outside import Farewells
from models.withdrawal.records import Step, Withdrawal
from models.withdrawal.repo import WithdrawalRepo
from models.withdrawal.tombstones import Tombstones, identities_of

Counts = Mapping[str, int]
WAIT: Final = timedelta(seconds=1)
"""Play that is on its way to MongoDB is there by then, as a rule."""


class NotYetError(Exception):
    """Something else has to come first; the step is tried again. The message says what."""


@dataclass(frozen=True, slots=True)
class SagaParts:
    """What the steps are made of."""

    repo: WithdrawalRepo
    accounts: AccountRepo
    sign_ins: SignIns
    revocations: Revocations
    children: ChildRepo
    care: CareRepo
    changes: AccessChanges
    play: PlayErasure
    erasure: Erasure
    farewells: Farewells
    notices: Notices
    tombstones: Tombstones
    cipher: FieldCipher
    clock: Clock
    tombstone_life: timedelta
    """How long it stays known that somebody was here."""


class Saga:
    """Does the steps of withdrawals, one after the other."""

    def __init__(self, parts: SagaParts) -> None:
        self._p = parts
        self._do: Mapping[Step, Callable[[Withdrawal, str], Awaitable[Counts]]] = {
            Step.SIGN_OUT: self._sign_out,
            Step.CLOSE: self._sign_out,
            Step.CARE: self._end_care,
            Step.LIVE: self._end_live,
            Step.OUTSIDE: self._tell_outside,
            Step.PLAY: self._erase_play,
            Step.CHILDREN: self._erase_children,
            Step.TRACES: self._erase_traces,
            Step.ACCOUNT: self._erase_account,
            Step.MEMORY: self._erase_memory,
        }

    async def do(self, withdrawal: Withdrawal, step: Step) -> None:
        """Do a step and write down that it is done.

        Raises:
            NotYetError: it must be tried again later.
            AppError, models.db.DatabaseError, redis.exceptions.RedisError, OSError: a store is
                away; the step may be half done, and is to be done again.
        """
        if withdrawal.user_id is None:
            return
        result = await self._do[step](withdrawal, withdrawal.user_id)
        await self._p.repo.record(withdrawal.id, step, result, self._p.clock.now())

    async def _user(self, user_id: str) -> User | None:
        return await self._p.accounts.find(user_id)

    async def _sign_out(self, _: Withdrawal, user_id: str) -> Counts:
        held = len(await self._p.sign_ins.list_of(user_id))
        await self._p.sign_ins.end_everything(user_id, "withdrawn")
        return merged({"sign_ins": held})

    async def _end_care(self, withdrawal: Withdrawal, user_id: str) -> Counts:
        p, now = self._p, self._p.clock.now()
        invites = await p.erasure.close_invites(user_id)
        ended, told = 0, set(await p.erasure.leave_clinics(user_id))
        for assignment_id in await p.erasure.list_care(user_id):
            found = await p.care.end({"_id": assignment_id}, user_id, EndReason.PERSON_LEFT, now)
            if found is not None:
                ended += 1
                told.add(found["child_id"])
        shared = 0
        for child_id in await p.erasure.list_guarded(user_id):
            if await p.children.remove_guardian(child_id, user_id):
                shared += 1
            else:
                await p.children.remove(child_id, user_id, now, only_guardian=True)
            told.add(child_id)
        if await p.erasure.list_guarded(user_id):
            raise NotYetError("a child got or lost a guardian meanwhile")
        # Those taken out earlier too: nobody else could ask for what they played.
        removed = await p.erasure.list_removed(user_id)
        await p.repo.add_children(withdrawal.id, removed)
        for child_id in sorted({*told, *removed}):
            await p.changes.tell(child_id)
        return merged(
            {
                "invitations": invites,
                "care": ended,
                "children_left": shared,
                "children_removed": len(removed),
            }
        )

    async def _end_live(self, withdrawal: Withdrawal, _: str) -> Counts:
        sessions = await self._p.play.sessions_of(withdrawal.children)
        return merged({"sessions": await self._p.play.fence(sessions)})

    async def _tell_outside(self, withdrawal: Withdrawal, user_id: str) -> Counts:
        user = await self._user(user_id)
        return merged(
            {"providers": 0 if user is None else await self._p.farewells.prepare(withdrawal, user)}
        )

    async def _erase_play(self, withdrawal: Withdrawal, _: str) -> Counts:
        play = self._p.play
        counts: list[Counts] = []
        for child_id in withdrawal.children:
            sessions = await play.sessions_of([child_id])
            await play.fence(sessions)
            if waiting := await play.count_waiting(sessions):
                raise NotYetError(f"{waiting} parts of play are on their way to MongoDB")
            found = await self._p.erasure.find_child(child_id)
            if found is not None and child_of({"name": None, **found}).consents_to(
                Consent.RESEARCH
            ):
                pseudonym = self._pseudonym("p", child_id)
                counts.append(await play.pseudonymise(sessions, pseudonym))
            else:
                counts.append(await play.erase(sessions))
        return merged(*counts)

    async def _erase_children(self, withdrawal: Withdrawal, _: str) -> Counts:
        return merged(await self._p.erasure.erase_children(withdrawal.children))

    async def _erase_traces(self, _: Withdrawal, user_id: str) -> Counts:
        pseudonym = self._pseudonym("gone", user_id)
        return merged(await self._p.erasure.pseudonymise(user_id, pseudonym))

    async def _erase_account(self, withdrawal: Withdrawal, user_id: str) -> Counts:
        p, now = self._p, self._p.clock.now()
        user = await self._user(user_id)
        if user is not None:
            await p.tombstones.leave(self._identities(user), now, now + p.tombstone_life)
            if (sealed := p.notices.sealed_address(user, withdrawal.id)) is not None:
                await p.repo.keep_address(withdrawal.id, sealed)
        told = [] if user is None else [about(p.cipher, method.key) for method in user.methods]
        # Each by itself: the version of the account, which names it, need not stay in Redis.
        await p.revocations.withdraw(await p.erasure.list_sign_ins(user_id))
        posted = about_person(p.cipher, user_id)
        return merged(await p.erasure.erase_account(user_id, told, posted))

    async def finish(self, withdrawal: Withdrawal) -> None:
        """End a withdrawal whose steps are all done, and tell whoever it was."""
        await self._p.notices.done(withdrawal)
        await self._p.repo.finish(withdrawal.id, self._p.clock.now())

    def _identities(self, user: User) -> list[str]:
        known = identities_of(user)
        if user.phone_sealed is not None:
            number = self._p.cipher.open(user.phone_sealed, Context("users", "phone", user.id))
            known.append(phone_key(number))
        return known

    async def _erase_memory(self, withdrawal: Withdrawal, user_id: str) -> Counts:
        # Once more: a session let in just before its child was taken out may have opened since.
        late = await self._erase_play(withdrawal, user_id)
        names = [user_id, *withdrawal.children]
        return merged(late, await self._p.erasure.forget_in_memory(names))

    def _pseudonym(self, kind: str, one: str) -> str:
        return f"{kind}_{self._p.cipher.index(one, 'pseudonym')[:24]}"
