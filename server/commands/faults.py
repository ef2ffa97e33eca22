"""What any command may run into before or while it works, in words for whoever called it."""

import sys
from typing import Final

from redis.exceptions import RedisError

from config.settings import SettingsError
from models.db import DatabaseError
from server.keyring import ConfigurationError

FAULTS: Final = (SettingsError, ConfigurationError, DatabaseError, RedisError, OSError)
"""What a command that knows no better answer leaves to the entry."""


def tell(command: str, fault: BaseException) -> int:
    """Say what was wrong, and return the exit status."""
    for line in _lines_of(fault):
        print(f"{command}: {line}", file=sys.stderr)
    return 2


def _lines_of(fault: BaseException) -> list[str]:
    match fault:
        case SettingsError():
            return [f"setting {one}" for one in fault.faults]
        case ConfigurationError():
            return [str(fault)]
        case DatabaseError():
            return [f"MongoDB does not answer as it should: {type(fault).__name__}"]
        case RedisError():
            return [f"Redis does not answer as it should: {type(fault).__name__}"]
        case TimeoutError():
            return ["an answer took too long; call it again"]
        case _:  # what it says may name a file after somebody
            return [f"the system does not let it go on: {type(fault).__name__}"]
