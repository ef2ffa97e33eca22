"""A withdrawal: somebody leaves the product. One document, its steps, and what is told of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from models.accounts.records import Provider


class State(StrEnum):
    """Where a withdrawal stands."""

    WITHDRAWING = "withdrawing"
    """Signed out; nothing is erased yet, and it can be undone."""
    UNDONE = "undone"
    ERASING = "erasing"
    WITHDRAWN = "withdrawn"


class Step(StrEnum):
    """What is done, in this order. The first at once, the others when it cannot be undone."""

    SIGN_OUT = "sign_out"
    CLOSE = "close"
    CARE = "care"
    LIVE = "live"
    OUTSIDE = "outside"
    PLAY = "play"
    CHILDREN = "children"
    TRACES = "traces"
    ACCOUNT = "account"
    MEMORY = "memory"


class OutsideState(StrEnum):
    """How far somebody outside was told."""

    PENDING = "pending"
    DONE = "done"
    BY_HAND = "by_hand"
    """We have nothing to tell them with: the person does it in their own settings there."""
    FAILED = "failed"
    """They never took it; the operators were told."""


@dataclass(frozen=True, slots=True)
class Outside:
    """What is given back to one provider."""

    provider: Provider
    state: OutsideState
    attempts: int = 0
    next_at: datetime | None = None
    sealed: str | None = None
    """What it is told: Apple's refresh token, Kakao's id of the person; gone when it is over."""
    client_id: str | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """A step that was tried."""

    attempts: int
    at: datetime
    result: Mapping[str, int] | None
    """What was ended or erased, by kind; None while it is not done."""
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A document of `withdrawals`."""

    id: str
    state: State
    user_id: str | None
    """None once there is no such account any more."""
    at: datetime
    erase_at: datetime
    locale: str
    steps: Mapping[Step, Done]
    outside: tuple[Outside, ...] = ()
    children: tuple[str, ...] = ()
    """Children that have no other guardian; their data goes too."""
    mail_to: str | None = None
    """Sealed: where the last mail goes; gone with the end."""
    ended_at: datetime | None = None
    """When it was undone, or everything was erased."""

    def is_done(self, step: Step) -> bool:
        """Tell whether a step is done."""
        tried = self.steps.get(step)
        return tried is not None and tried.result is not None

    def due_outside(self, now: datetime) -> tuple[Outside, ...]:
        """Return those who are to be told now."""
        return tuple(
            one
            for one in self.outside
            if one.state is OutsideState.PENDING and (one.next_at is None or one.next_at <= now)
        )


def withdrawal_of(document: Mapping[str, Any]) -> Withdrawal:
    """Return the withdrawal of a document."""
    return Withdrawal(
        id=document["_id"],
        state=State(document["state"]),
        user_id=document.get("user_id"),
        at=document["at"],
        erase_at=document["erase_at"],
        locale=document["locale"],
        steps={
            Step(name): Done(s["attempts"], s["at"], s.get("result"), s.get("error"))
            for name, s in document.get("steps", {}).items()
        },
        outside=tuple(
            Outside(
                Provider(name),
                OutsideState(one["state"]),
                one["attempts"],
                one.get("next_at"),
                one.get("sealed"),
                one.get("client_id"),
            )
            for name, one in document.get("outside", {}).items()
        ),
        children=tuple(document.get("children", ())),
        mail_to=document.get("mail_to"),
        ended_at=document.get("ended_at"),
    )


@dataclass(frozen=True, slots=True)
class Remainder:
    """Something that is not erased, and why."""

    what: str
    ko: str
    en: str


REMAINS: Final = (
    Remainder(
        "access_log",
        "누가 아이의 기록을 보았는지 적은 기록은 위조를 알 수 있도록 서로 이어져 있어 지울 수 "
        "없습니다. 이름 없이 임의의 번호만 남습니다.",
        "Who looked at a child's data stands in a chain that shows any change, so nothing of it "
        "can be taken out. Random ids stay in it, no names.",
    ),
    Remainder(
        "tombstones",
        "같은 혜택을 되풀이해 받지 못하도록 로그인 정보의 해시를 정해진 기간 동안 보관한 뒤 "
        "지웁니다.",
        "Keyed hashes of how you signed in stay for a limited time, so that what is given once is "
        "not given again; then they are erased.",
    ),
    Remainder(
        "last_mail",
        "삭제가 끝났음을 알리는 메일이 전달될 때까지, 길어도 나흘 동안 이메일 주소를 암호화해 "
        "보관합니다.",
        "Your address stays, sealed, until the mail that tells of the end is delivered, for four "
        "days at most.",
    ),
    Remainder(
        "receipt",
        "이 확인서는 누구의 것인지 알 수 없는 상태로 남습니다.",
        "This receipt stays, and does not say whose it is.",
    ),
    Remainder(
        "research",
        "연구 이용에 동의한 아이의 놀이 기록은 지우지 않고 가명으로 바꿉니다.",
        "What a child played whose guardian agreed to research stays, under a pseudonym.",
    ),
    Remainder(
        "backups",
        "데이터베이스 백업에는 백업의 보관 기간이 끝날 때까지 남습니다.",
        "Backups of the database hold it until their own time is over.",
    ),
)
"""What stays after a withdrawal, as its receipt says."""
