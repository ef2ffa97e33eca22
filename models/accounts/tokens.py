"""Access tokens: verifying (RFC 7519, ES256), and the development key, which also mints."""

import hashlib
import os
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from config.clock import Clock, SystemClock
from models.accounts.records import Actor, Principal, Role
from models.errors import AppError, ErrorCode

ALGORITHM = "ES256"
DEV_KID = "dev"
KNOWN = 20_000
"""Tokens a verifier remembers; one takes about a kilobyte."""
_REQUIRED = ["iss", "aud", "sub", "sid", "roles", "tv", "jti", "iat", "exp"]


@dataclass(frozen=True, slots=True)
class Key:
    """A public key tokens may be signed with."""

    kid: str
    public: ec.EllipticCurvePublicKey
    grants: bool
    """Whether the claim `children` of its tokens counts: true for the development key alone."""


class Verifier:
    """Turns a token into a principal, or refuses it.

    A signature costs a hundred times what the rest costs: a token once verified is known by its
    SHA-256 until it ends. Whether its sign-in holds is asked each time.

    Args:
        keys: those that tokens may be signed with.
        leeway_seconds: clock difference that is forgiven.
        revoked: tells whether a sign-in was withdrawn.
        outdated: tells whether an account's tokens of a version hold no longer.
        known: tokens remembered.
    """

    def __init__(
        self,
        keys: Sequence[Key],
        issuer: str,
        audience: str,
        leeway_seconds: int,
        revoked: Callable[[str], bool] = lambda _: False,
        outdated: Callable[[str, int], bool] = lambda _user, _version: False,
        clock: Clock | None = None,
        known: int = KNOWN,
    ) -> None:
        self._keys = {key.kid: key for key in keys}
        self._issuer = issuer
        self._audience = audience
        self._leeway = leeway_seconds
        self._revoked = revoked
        self._outdated = outdated
        self._clock = clock or SystemClock()
        self._known: OrderedDict[bytes, Principal] = OrderedDict()
        self._most = known

    def principal(self, token: object) -> Principal:
        """Return whom `token` speaks for.

        Raises:
            AppError: `unauthenticated`, in one sentence that says which rule failed.
        """
        if not isinstance(token, str) or len(token) > 8192:
            raise _refused("auth.token must be an access token")
        digest = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        who = self._known.get(digest)
        if who is None:
            who = self._verified(token)
            self._known[digest] = who
            if len(self._known) > self._most:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(digest)
        if who.expires_at + self._leeway <= self._clock.time_us() // 1_000_000:
            del self._known[digest]
            raise _refused("the token has expired; sign in again")
        if self._withdrawn(who.user_id, who.sign_in, who.version):
            raise _refused("you were signed out; sign in again")
        actor = who.actor
        if actor is not None and self._withdrawn(actor.user_id, actor.sign_in, actor.version):
            raise _refused("the admin who asked for the token was signed out")
        return who

    def _withdrawn(self, user_id: str, sign_in: str, version: int) -> bool:
        return self._revoked(sign_in) or self._outdated(user_id, version)

    def _verified(self, token: str) -> Principal:
        try:
            key = self._keys.get(jwt.get_unverified_header(token).get("kid", ""))
            if key is None:
                raise _refused("the token is signed with an unknown key")
            claims = jwt.decode(
                token,
                key.public,
                algorithms=[ALGORITHM],
                issuer=self._issuer,
                audience=self._audience,
                # Times are compared with the injected clock, each time the token comes.
                options={"require": _REQUIRED, "verify_exp": False, "verify_iat": False},
            )
            if int(claims["iat"]) > self._clock.time_us() // 1_000_000 + self._leeway:
                raise _refused("the token is from the future; set the clock")
            return _principal(claims, key)
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise _refused("the token is not valid") from error


def _principal(claims: dict[str, Any], key: Key) -> Principal:
    roles = frozenset(Role(role) for role in claims["roles"])
    child_id = claims.get("child_id")
    children = claims.get("children", []) if key.grants else []
    if not isinstance(children, list) or not all(isinstance(c, str) for c in children):
        raise ValueError("children must be a list of ids")
    if child_id is not None and not isinstance(child_id, str):
        raise ValueError("child_id must be an id")
    if Role.CHILD in roles and child_id is None:
        raise ValueError("a child's token names its child")
    return Principal(
        user_id=_id(claims["sub"]),
        sign_in=_id(claims["sid"]),
        roles=roles,
        expires_at=int(claims["exp"]),
        child_id=child_id,
        granted=frozenset(children),
        # A token that was renewed is younger than its sign-in: only `auth_time` tells.
        signed_in_at=int(claims.get("auth_time", claims["iat"] if key.grants else 0)),
        scopes=frozenset(str(claims.get("scope", "")).split()),
        version=int(claims["tv"]),
        actor=_actor(claims),
    )


def _actor(claims: dict[str, Any]) -> Actor | None:
    """Return who acts in somebody's name (RFC 8693, 4.1)."""
    if "act" not in claims:
        return None
    act = claims["act"]
    if not isinstance(act, dict):
        raise ValueError("act must name somebody")
    return Actor(_id(act.get("sub")), _id(act.get("sid")), int(act["tv"]), str(claims["why"]))


def _id(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("sub and sid must be ids")
    return value


def _refused(reason: str) -> AppError:
    return AppError(ErrorCode.UNAUTHENTICATED, f"Not signed in: {reason}.")


def create_dev_key(path: Path) -> None:
    """Write a fresh private key to `path`, readable by its owner only; keep one that is there."""
    if path.exists():
        return
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123 - Path.open takes no mode bits
        file.write(pem)


def _private(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{path} does not hold an elliptic-curve key")
    return key


def load_dev_key(path: Path) -> Key:
    """Read the public half of the development key at `path`."""
    return Key(kid=DEV_KID, public=_private(path).public_key(), grants=True)


def mint(
    key_path: Path,
    *,
    sub: str,
    roles: Iterable[Role | str],
    children: Iterable[str] = (),
    child_id: str | None = None,
    sid: str | None = None,
    scope: str = "",
    ttl_s: int = 3600,
    clock: Clock,
    issuer: str = "gemgem",
    audience: str = "gemgem",
) -> str:
    """Return an access token signed with the development key.

    Args:
        key_path: PEM file of the private key.
        sub: the user the token speaks for.
        roles: the user's roles.
        children: ids the token grants access to, or `*` for all.
        child_id: the one child of a device token.
        sid: the sign-in it belongs to; a sign-in of its own unless given.
        scope: what a service is granted, with spaces between.
        ttl_s: seconds until it ends.
    """
    now = clock.time_us() // 1_000_000
    claims: dict[str, Any] = {
        "iss": issuer,
        "aud": audience,
        "sub": sub,
        "sid": sid or uuid.uuid4().hex,
        "roles": [Role(role).value for role in roles],
        "tv": 1,
        "jti": uuid.uuid4().hex,
        "iat": now,
        "exp": now + ttl_s,
        "children": list(children),
    }
    if child_id is not None:
        claims["child_id"] = child_id
    if scope:
        claims["scope"] = scope
    return jwt.encode(claims, _private(key_path), algorithm=ALGORITHM, headers={"kid": DEV_KID})
