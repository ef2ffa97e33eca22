"""All that can be done with accounts, in one bundle for those who are asked for it."""

from dataclasses import dataclass

from models.accounts.local import LocalAccounts
from models.accounts.phones import Phones
from models.accounts.profiles import Profiles
from models.accounts.sign_ins import SignIns
from models.accounts.social import SocialAccounts


@dataclass(frozen=True, slots=True)
class Accounts:
    """The parts of accounts."""

    local: LocalAccounts
    social: SocialAccounts
    sign_ins: SignIns
    profiles: Profiles
    phones: Phones
