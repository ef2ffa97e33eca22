"""What tests of the outbox share."""

from collections.abc import AsyncIterator

import pymongo
import pytest

from models.db import Mongo
from models.mails import Mails
from models.outbox import Outbox
from tests.fakes.messengers import fake_mail
from tests.jobs.posts import CIPHER, Post
from tests.models.accounts.made import now_clock


@pytest.fixture
async def here(
    mongo_url: str, mongo_database: str, mongo_admin: pymongo.MongoClient[dict[str, object]]
) -> AsyncIterator[Post]:
    """Return an empty outbox and a mail server."""
    mongo, clock = Mongo(mongo_url, mongo_database), now_clock()
    outbox = Outbox(mongo.database, CIPHER)
    await outbox.ensure_indexes()
    async with fake_mail() as fake:
        rows = mongo_admin[mongo_database]["outbox"]
        yield Post(mongo, outbox, Mails(outbox, clock), clock, fake, rows)
    await mongo.close()
