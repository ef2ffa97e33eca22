"""E-mail addresses in their one canonical form: the form that is stored, compared and mailed to.

The local part is ASCII: an address of other letters, which few mail servers take, could look like
somebody else's. It has no encoded word (`=?`, RFC 2047): headers decode one, into another address.
The domain may be of any script and is kept in its ASCII form (IDNA 2008 with the mapping of
UTS 46), so two names that only look alike differ visibly. Case is dropped on both sides. Dots and
`+tags` stay: whether they matter is for each provider to say.
"""

import re
import unicodedata

import idna

from models.errors import AppError, ErrorCode

LOCAL_BYTES = 64
ADDRESS_BYTES = 254
"""RFC 5321, 4.5.3.1, and the path of 256 with its brackets."""
ENCODED_WORD = "=?"
_LOCAL = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def canonical_email(text: str) -> str:
    """Return the canonical form of an address; giving that again changes nothing.

    Raises:
        AppError: `invalid`, naming what is wrong with it.
    """
    address = unicodedata.normalize("NFC", text.strip(" "))
    local, at, domain = address.rpartition("@")
    if not at or len(address) > ADDRESS_BYTES:
        raise _refused("it is `name@domain`, of at most 254 characters")
    if not local.isascii():
        raise _refused("the part before the @ has letters a-z, digits and signs alone")
    local = local.lower()
    if len(local) > LOCAL_BYTES or not _LOCAL.fullmatch(local) or ENCODED_WORD in local:
        raise _refused("the part before the @ is not well formed")
    canonical = f"{local}@{_domain(domain)}"
    if len(canonical) > ADDRESS_BYTES:
        raise _refused("it has at most 254 characters")
    return canonical


def _domain(text: str) -> str:
    try:
        name = idna.encode(text, uts46=True, transitional=False).decode()
    except (idna.IDNAError, UnicodeError):
        raise _refused("the part after the @ is not the name of a domain") from None
    labels = name.split(".")
    # The last label is letters: `user@127.0.0.1` is a machine, not a mail domain.
    if len(labels) < 2 or not all(map(_LABEL.fullmatch, labels)) or labels[-1].isdigit():
        raise _refused("the part after the @ is not the name of a mail domain")
    return name


def _refused(why: str) -> AppError:
    return AppError(
        ErrorCode.INVALID, f"`email` is not an address: {why}.", details={"field": "email"}
    )
