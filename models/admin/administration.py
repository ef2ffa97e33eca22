"""All that admins do, in one bundle for the routes."""

from dataclasses import dataclass

from models.admin.attributes import AccountAttributes
from models.admin.forced import ForcedTokens
from models.admin.people import People
from models.admin.test_accounts import TestAccounts
from models.admin.timeline import Timeline


@dataclass(frozen=True, slots=True)
class Administration:
    """The parts."""

    people: People
    timeline: Timeline
    forced: ForcedTokens
    tests: TestAccounts
    attributes: AccountAttributes
