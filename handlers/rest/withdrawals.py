"""Leaving the product: asked for, undone within its time, and its receipt."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from handlers.rest.account_shapes import FRESH_SECONDS, PEOPLE
from handlers.routing import PUBLIC, Call, Header, Id, Policy, PublicCall, Routes, View
from models.accounts.records import Provider
from models.errors import ErrorCode
from models.withdrawal.records import REMAINS, OutsideState, State, Step, Withdrawal

routes = Routes("/v1", tag="withdrawals")

ReceiptKey = Annotated[str, Field(min_length=32, max_length=128, pattern=r"^[0-9a-f]+$")]


class StepView(View):
    """A step of a withdrawal that was done or tried."""

    step: Step
    done: bool
    at: datetime
    attempts: int
    counts: dict[str, int] = Field(description="What was ended or erased, by kind.")


class OutsideView(View):
    """Whether a provider was told."""

    provider: Provider
    state: OutsideState = Field(
        description="`by_hand`: disconnect the app yourself, in the settings of the provider."
    )


class RemainderView(View):
    """Something that is not erased, and why."""

    what: str
    ko: str
    en: str


class ReceiptView(View):
    """The state of a withdrawal; at its end the receipt. It names nobody."""

    id: Id
    state: State
    asked_at: datetime
    erase_at: datetime = Field(description="It can be undone until then.")
    ended_at: datetime | None
    steps: list[StepView]
    outside: list[OutsideView]
    remains: list[RemainderView]


class WithdrawalView(View):
    """A withdrawal, and how its receipt is read later, when there is no account any more."""

    receipt: ReceiptView
    receipt_key: str = Field(description="Keep it: goes into `X-Receipt-Key`.")


def _receipt(one: Withdrawal) -> ReceiptView:
    return ReceiptView(
        id=one.id,
        state=one.state,
        asked_at=one.at,
        erase_at=one.erase_at,
        ended_at=one.ended_at,
        steps=[
            StepView(
                step=step,
                done=one.is_done(step),
                at=tried.at,
                attempts=tried.attempts,
                counts=dict(tried.result or {}),
            )
            for step in Step
            if (tried := one.steps.get(step)) is not None
        ],
        outside=[OutsideView(provider=o.provider, state=o.state) for o in one.outside],
        remains=[RemainderView(what=r.what, ko=r.ko, en=r.en) for r in REMAINS],
    )


@routes.post("/me/withdrawal", policy=Policy(PEOPLE, fresh_seconds=FRESH_SECONDS), status=202)
async def withdraw(call: Call) -> WithdrawalView:
    """Leave the product. Everything signed in ends at once; the data is erased after a week.

    Until then signing in and `DELETE /v1/me/withdrawal` undo it. Asked for again it is the same
    withdrawal. Children who have another guardian stay with them.
    """
    user = await call.deps.accounts.profiles.find(call.who.user_id)
    found, secret = await call.deps.withdrawals.ask(call.new_id("w"), user)
    return WithdrawalView(receipt=_receipt(found), receipt_key=secret)


@routes.delete("/me/withdrawal", policy=Policy(PEOPLE), errors={ErrorCode.CONFLICT})
async def stay(call: Call) -> None:
    """Undo a withdrawal while that can be; doing it again changes nothing."""
    await call.deps.withdrawals.undo(call.who.user_id)


@routes.get("/withdrawals/{withdrawal_id}", policy=PUBLIC, errors={ErrorCode.NOT_FOUND})
async def show_receipt(
    call: PublicCall, withdrawal_id: Id, receipt_key: Annotated[ReceiptKey, Header("X-Receipt-Key")]
) -> ReceiptView:
    """Show how far a withdrawal is, or its receipt: what was erased, what remains and why."""
    return _receipt(await call.deps.withdrawals.receipt(withdrawal_id, receipt_key))
