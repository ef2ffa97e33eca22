"""An admin's desk: a town with an admin, and a guardian in whose name they may act."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from config.settings import Settings
from models.accounts.records import Role
from models.db import Mongo
from server.lifespan import PARTS
from tests.fakes.discord import FakeDiscord, fake_discord
from tests.flows.api import CHILD
from tests.flows.people import Answer, Person, Town, town

WHY = "the family reports a missing result"
REASON = {"X-Reason": "a test of what admins do"}


@dataclasses.dataclass(frozen=True)
class Scene:
    """A town with an admin, a guardian who signed up, and the guardian's child."""

    town: Town
    discord: FakeDiscord
    mongo: Mongo
    admin: Person
    mother: Person
    mother_id: str
    child_id: str

    async def force(self, scope: str | None = None, **more: Any) -> Answer:
        """Ask for a token in the mother's name."""
        body = {"reason": WHY, **({"scope": scope} if scope else {}), **more}
        return await self.admin.call("POST", f"/v1/admin/users/{self.mother_id}/tokens", body)

    async def ask(self, method: str, path: str, body: Any = None) -> Answer:
        """Ask as the admin, with a reason."""
        return await self.admin.call(method, f"/v1/admin{path}", body, headers=REASON)

    async def forced(self, scope: str | None = None) -> tuple[Person, str]:
        """Return somebody with a token in the mother's name, and its id."""
        answer = await self.force(scope)
        assert answer.status == 201, answer.body
        person = self.town.person()
        person.access = answer["accessToken"]
        return person, str(answer["id"])

    async def acts(self) -> list[dict[str, Any]]:
        """Return what is written down about the mother's account, the oldest first."""
        found = self.mongo.database["access_log"].find({"about": self.mother_id})
        return list(await found.sort("at_us", 1).to_list(100))


@asynccontextmanager
async def desk(settings: Settings, tmp_path: Path) -> AsyncIterator[Scene]:
    """Run all of it."""
    assert settings.mongo_url is not None
    mongo = Mongo(settings.mongo_url.get_secret_value(), settings.store.mongo_database)
    async with fake_discord() as discord:
        own = settings.model_copy(update={"discord_webhook": SecretStr(discord.url)})
        async with town(own, tmp_path) as here:
            async with asyncio.timeout(20):
                await here.served.app[PARTS].background.indexes.made.wait()
            admin, mother = here.person(), here.person()
            admin.access = here.served.token(Role.ADMIN, sub="admin-1", sid="admin-sid")
            mother.keep(await mother.sign_up("mother@example.com"))
            mother_id = (await mother.me())["id"]
            added = await mother.call("POST", "/v1/children", CHILD)
            yield Scene(here, discord, mongo, admin, mother, mother_id, added["id"])
    await mongo.close()
