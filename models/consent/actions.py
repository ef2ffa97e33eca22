"""Giving and withdrawing consent, in a guardian's name."""

from datetime import datetime

from config.clock import Clock
from models.children.access import no_such_child
from models.children.changes import AccessChanges
from models.children.records import Child, Consent, Given, Locale, child_of
from models.children.repo import ChildRepo
from models.consent.records import ConsentRow, documents
from models.consent.repo import ConsentRepo
from models.errors import AppError, ErrorCode

TRIES = 5
"""How often a consent is settled anew that another guardian changed meanwhile."""


class Consents:
    """The consents of children."""

    def __init__(
        self, repo: ConsentRepo, children: ChildRepo, changes: AccessChanges, clock: Clock
    ) -> None:
        self._repo = repo
        self._children = children
        self._changes = changes
        self._clock = clock

    async def give(
        self, child_id: str, purpose: Consent, version: int, locale: Locale, by: str
    ) -> Child:
        """Consent to the newest document of a purpose; the same again changes nothing.

        Raises:
            AppError: `conflict`; the document is not the newest one. `not_found`, `busy`.
        """
        newest = documents()[purpose][-1].version
        if version != newest:
            raise AppError(
                ErrorCode.CONFLICT,
                "body.version is not that of the document shown now: show it and ask again.",
                details={"version": newest},
            )
        return await self._settle(child_id, purpose, True, version, locale, by)

    async def withdraw(self, child_id: str, purpose: Consent, locale: Locale, by: str) -> Child:
        """Withdraw a consent; the same again changes nothing. What it allowed ends within 2 s.

        Raises:
            AppError: `not_found`, `busy`.
        """
        return await self._settle(child_id, purpose, False, 0, locale, by)

    async def _settle(
        self, child_id: str, purpose: Consent, given: bool, version: int, locale: Locale, by: str
    ) -> Child:
        for _ in range(TRIES):
            child = await self._find(child_id, by)
            state = (child.consents or {}).get(purpose)
            if state is None and not given:
                return child
            if (
                state is not None
                and state.given == given
                and (state.version == version or not given)
            ):
                return child
            row = ConsentRow(
                child_id=child_id,
                purpose=purpose,
                n=1 if state is None else state.n + 1,
                given=given,
                # One is withdrawn of the version it was given to.
                version=version if given or state is None else state.version,
                locale=locale,
                by=by,
                at=self._clock.now(),
            )
            if await self._repo.add(row):
                await self._changes.tell(child_id)
                return await self._find(child_id, by)
        raise AppError(ErrorCode.BUSY, "The consent is being changed; try again.", retry_ms=500)

    async def _find(self, child_id: str, guardian: str) -> Child:
        found = await self._children.find(child_id)
        if found is None or guardian not in found["guardians"]:
            raise no_such_child()
        return child_of(found)

    async def history(
        self, child_id: str, limit: int, before: tuple[datetime, str] | None = None
    ) -> list[tuple[str, ConsentRow]]:
        """Return what was given and withdrawn, the newest first, with the id of each row."""
        return await self._repo.list_rows(child_id, limit, before)


def _is_so(state: Given | None, given: bool, version: int) -> bool:
    if state is None or not state.given:
        return not given
    return given and state.version == version
