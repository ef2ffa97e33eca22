"""Making the indexes that queries and uniqueness rest on; those that exist are left alone."""

import asyncio
from collections.abc import Sequence
from typing import Protocol


class Indexed(Protocol):
    """A repository that knows its indexes."""

    async def ensure_indexes(self) -> None:
        """Make them."""
        ...


class Indexes:
    """Sees to the indexes of the repositories once the database is there."""

    def __init__(self, repositories: Sequence[Indexed]) -> None:
        self._repositories = repositories
        self.made = asyncio.Event()
        """Set once all of them are there: what rests on uniqueness may begin."""

    async def run(self) -> None:
        """Make all of them, then rest for ever; raises when the database is away."""
        for repository in self._repositories:
            await repository.ensure_indexes()
        self.made.set()
        await asyncio.Event().wait()
