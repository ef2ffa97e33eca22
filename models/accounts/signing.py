"""Signing access tokens: the keys in use, the first of which signs, and what a token says."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from config.clock import Clock
from models.accounts.records import Actor, Role
from models.accounts.tokens import ALGORITHM, DEV_KID, Key, load_dev_key


class TokenKeyError(Exception):
    """A key file cannot be used. The message names the file and holds nothing of it."""


@dataclass(frozen=True, slots=True)
class Signer:
    """The key new tokens are signed with."""

    kid: str
    private: ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class TokenKeys:
    """All keys that tokens are verified with, and the one that signs."""

    verifying: tuple[Key, ...]
    signer: Signer


def load_token_keys(paths: Sequence[Path], dev_key: Path | None) -> TokenKeys:
    """Return the keys of the PEM files: the first signs, all verify.

    Without files the development key signs too. A file after the first may hold a public key
    alone. A key's id is made from the key, so that a file can change its place but not its id.

    Raises:
        TokenKeyError: a file cannot be read, or holds no P-256 key; or there is no key at all.
    """
    keys: list[Key] = []
    signer: Signer | None = None
    for place, path in enumerate(paths):
        private, public = _load(path)
        key = Key(kid=_kid(public), public=public, grants=False)
        keys.append(key)
        if place == 0:
            if private is None:
                raise TokenKeyError(f"{path} is the key that signs: it must be a private key")
            signer = Signer(key.kid, private)
    if dev_key is not None:
        keys.append(load_dev_key(dev_key))
        private, _ = _load(dev_key)
        if signer is None and private is not None:
            signer = Signer(DEV_KID, private)
    if signer is None:
        raise TokenKeyError("there is no key to sign tokens with")
    return TokenKeys(tuple(keys), signer)


def _load(path: Path) -> tuple[ec.EllipticCurvePrivateKey | None, ec.EllipticCurvePublicKey]:
    try:
        pem = path.read_bytes()
        key = (
            serialization.load_pem_public_key(pem)
            if b"PUBLIC KEY" in pem
            else serialization.load_pem_private_key(pem, password=None)
        )
    except (OSError, ValueError, TypeError) as error:
        raise TokenKeyError(f"{path} cannot be read as a PEM key") from error
    private = key if isinstance(key, ec.EllipticCurvePrivateKey) else None
    public = key if private is None else private.public_key()
    if not isinstance(public, ec.EllipticCurvePublicKey) or public.curve.name != "secp256r1":
        raise TokenKeyError(f"{path} does not hold a key on the curve P-256")
    return private, public


def _kid(public: ec.EllipticCurvePublicKey) -> str:
    der = public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(der).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Issuer:
    """Signs access tokens. One costs about 0.1 ms.

    Args:
        seconds: life of a token.
        new_id: makes the `jti`.
    """

    signer: Signer
    issuer: str
    audience: str
    seconds: int
    clock: Clock
    new_id: Callable[[], str]

    def issue(
        self,
        *,
        user_id: str,
        sign_in: str,
        roles: Sequence[Role],
        version: int,
        signed_in_at: int,
        child_id: str | None = None,
        actor: Actor | None = None,
        scope: str = "",
    ) -> str:
        """Return an access token.

        Args:
            version: the account's token version.
            signed_in_at: Unix time in seconds at which credentials were given.
            child_id: of a device of a child.
            actor: of a forced token, the admin; `scope` is what they may do.
        """
        now = self.clock.time_us() // 1_000_000
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": user_id,
            "sid": sign_in,
            "roles": [role.value for role in roles],
            "tv": version,
            "jti": self.new_id(),
            "iat": now,
            "exp": now + self.seconds,
            "auth_time": signed_in_at,
        }
        if child_id is not None:
            claims["child_id"] = child_id
        if actor is not None:
            claims["act"] = {"sub": actor.user_id, "sid": actor.sign_in, "tv": actor.version}
            claims |= {"why": actor.reason, "scope": scope}
        return jwt.encode(
            claims, self.signer.private, algorithm=ALGORITHM, headers={"kid": self.signer.kid}
        )
