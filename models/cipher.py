"""Personal fields as they lie in the database: sealed with AES-GCM under keys that rotate.

Sealed text is `s1.<key id>.<base64url of nonce, ciphertext and tag>`. The place it belongs to is
authenticated with it (NIST SP 800-38D, additional data): copied to another owner, field or
collection it does not open.
"""

import base64
import binascii
import hashlib
import hmac
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from models.canonical import canonical_json

SCHEME: Final = "s1"
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
"""Random, so one key may seal about 2**32 times (SP 800-38D, 8.3): rotate long before that."""
DEV_KEY_ID: Final = "dev"
_KEY_ID = re.compile(r"[a-z0-9-]{1,32}")


class Context(NamedTuple):
    """Where a sealed text belongs. Each part is authenticated, none is stored with it."""

    collection: str
    field: str
    owner_id: str
    """Id of the document, or of whoever the document is about."""


class UnsealError(Exception):
    """A sealed text does not open: altered, moved here from elsewhere, or its key is gone."""


class KeyRingError(Exception):
    """The keys given cannot be used. The message says what to do and holds no key."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys fields are sealed with, and the one their look-up indexes are made with."""

    keys: Mapping[str, bytes]
    """256-bit keys by id. All of them open, `newest` seals."""
    newest: str
    index_key: bytes
    """Stays when the others rotate: a unique index holds across both."""


class FieldCipher:
    """Seals and opens fields. Costs some microseconds a call; never waits."""

    def __init__(self, ring: KeyRing, random: Callable[[int], bytes] = os.urandom) -> None:
        self._ciphers = {key_id: AESGCM(key) for key_id, key in ring.keys.items()}
        self._newest = ring.newest
        self._index_key = ring.index_key
        self._random = random

    def seal(self, text: str, context: Context) -> str:
        """Return `text` sealed for its place with the newest key; never twice the same."""
        nonce = self._random(NONCE_BYTES)
        cipher = self._ciphers[self._newest]
        box = nonce + cipher.encrypt(nonce, text.encode(), _bound(self._newest, context))
        return f"{SCHEME}.{self._newest}.{base64.urlsafe_b64encode(box).decode()}"

    def open(self, sealed: str, context: Context) -> str:
        """Return what was sealed for this place.

        Raises:
            UnsealError: altered, of another place, or sealed with a key that is not here.
        """
        scheme, _, rest = sealed.partition(".")
        key_id, _, coded = rest.partition(".")
        cipher = self._ciphers.get(key_id)
        if scheme != SCHEME or cipher is None:
            raise UnsealError(
                f"{context.collection}.{context.field} is sealed with a key that is not in the "
                "ring: put it back behind the newest one."
            )
        try:
            box = base64.b64decode(coded, altchars=b"-_", validate=True)
            opened = cipher.decrypt(box[:NONCE_BYTES], box[NONCE_BYTES:], _bound(key_id, context))
        except (InvalidTag, ValueError) as error:
            raise UnsealError(
                f"{context.collection}.{context.field} was altered, or belongs to another document."
            ) from error
        return opened.decode()

    def is_stale(self, sealed: str) -> bool:
        """Tell whether a text is sealed with an older key: the next write seals it anew."""
        return not sealed.startswith(f"{SCHEME}.{self._newest}.")

    def index(self, text: str, purpose: str) -> str:
        """Return the hex HMAC-SHA-256 by which a sealed text is looked up.

        Args:
            text: in its one canonical form; another spelling gives another index.
            purpose: what the text is, for instance `phone`: indexes of two purposes never meet.
        """
        message = canonical_json([purpose, text])
        return hmac.new(self._index_key, message, hashlib.sha256).hexdigest()


def _bound(key_id: str, context: Context) -> bytes:
    return canonical_json([SCHEME, key_id, *context])


def ring_of(keys: str, index_key: str) -> KeyRing:
    """Return the ring that settings describe.

    Args:
        keys: `id:base64` of 256-bit keys, commas between, the newest first.
        index_key: base64 of a 256-bit key.

    Raises:
        KeyRingError: an entry is not such a key, or an id is there twice.
    """
    ring: dict[str, bytes] = {}
    for place, entry in enumerate(keys.split(","), start=1):
        key_id, _, coded = entry.strip().partition(":")
        if not _KEY_ID.fullmatch(key_id) or key_id in ring:
            raise KeyRingError(
                f"Field key {place}: write `id:base64`, the id its own, of a-z, 0-9 and `-`."
            )
        ring[key_id] = _key_of(coded, f"Field key {place}")
    return KeyRing(ring, next(iter(ring)), _key_of(index_key.strip(), "The index key"))


def _key_of(coded: str, what: str) -> bytes:
    try:
        key = base64.b64decode(coded, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise KeyRingError(f"{what} must be the base64 of {KEY_BYTES} random bytes.")
    return key


def dev_ring(dev_key: Path) -> KeyRing:
    """Return a ring derived from the development key (RFC 5869): for machines without real data."""
    private = serialization.load_pem_private_key(dev_key.read_bytes(), password=None)
    secret = private.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )

    def derived(info: bytes) -> bytes:
        return HKDF(hashes.SHA256(), KEY_BYTES, salt=None, info=info).derive(secret)

    return KeyRing({DEV_KEY_ID: derived(b"gemgem field")}, DEV_KEY_ID, derived(b"gemgem index"))
