"""Access tokens: taken only as they were signed, for us, in time, and while their sign-in holds."""

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from models.accounts.records import Actor, Role
from models.accounts.signing import Issuer, Signer, TokenKeyError, load_token_keys
from models.accounts.tokens import Key, Verifier, create_dev_key, mint
from models.errors import AppError, ErrorCode
from tests.factories import ManualClock

PRIVATE = ec.generate_private_key(ec.SECP256R1())
CLOCK = ManualClock()
NOW = CLOCK.us // 1_000_000


def verifier(**more: Any) -> Verifier:
    key = Key(kid="k", public=PRIVATE.public_key(), grants=False)
    return Verifier([key], "i", "a", 5, **{"clock": CLOCK, **more})


def claims(**changed: Any) -> dict[str, Any]:
    said: dict[str, Any] = {
        "iss": "i",
        "aud": "a",
        "sub": "u_1",
        "sid": "s_1",
        "roles": ["guardian"],
        "tv": 1,
        "jti": "j",
        "iat": NOW,
        "exp": NOW + 900,
        **changed,
    }
    return {name: value for name, value in said.items() if value is not None}


def signed(
    said: dict[str, Any], key: Any = PRIVATE, algorithm: str = "ES256", kid: Any = "k"
) -> str:
    headers = {} if kid is None else {"kid": kid}
    return jwt.encode(said, key, algorithm=algorithm, headers=headers)


def test_a_good_token_names_its_principal() -> None:
    act = {"sub": "admin-1", "sid": "s_9", "tv": 3}
    who = verifier().principal(signed(claims(act=act, why="a ticket", auth_time=NOW - 60)))
    assert (who.user_id, who.sign_in, who.roles) == ("u_1", "s_1", {Role.GUARDIAN})
    assert (who.actor, who.signed_in_at) == (Actor("admin-1", "s_9", 3, "a ticket"), NOW - 60)
    assert (who.version, who.answerable) == (1, "admin-1")
    assert who.granted == frozenset()


@pytest.mark.parametrize("name", sorted(claims()))
def test_every_claim_is_needed(name: str) -> None:
    with pytest.raises(AppError) as refused:
        verifier().principal(signed(claims(**{name: None})))
    assert refused.value.code is ErrorCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "other"},
        {"aud": "other"},
        {"exp": NOW - 6},
        {"exp": "soon"},
        {"iat": NOW + 600},
        {"sub": ""},
        {"sub": 7},
        {"sid": {"$gt": ""}},
        {"roles": ["king"]},
        {"roles": 7},
        {"tv": "x"},
        {"roles": ["child"]},
        {"child_id": {"$gt": ""}},
        {"act": "admin"},
        {"act": {"sub": 1}},
    ],
    ids=str,
)
def test_what_a_token_says_is_checked(changed: dict[str, Any]) -> None:
    with pytest.raises(AppError) as refused:
        verifier().principal(signed(claims(**changed)))
    assert refused.value.code is ErrorCode.UNAUTHENTICATED


def by_hmac(said: dict[str, Any], secret: bytes) -> str:
    """Return a token of HS256; the library refuses to make one of a public key."""

    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    head = part(json.dumps({"alg": "HS256", "kid": "k"}).encode())
    text = f"{head}.{part(json.dumps(said).encode())}"
    return f"{text}.{part(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"


def forged() -> dict[str, object]:
    good = signed(claims())
    head, body, signature = good.split(".")
    admin = base64.urlsafe_b64encode(json.dumps(claims(roles=["admin"])).encode()).decode()
    pem = PRIVATE.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    weak = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return {
        "none": signed(claims(), "", "none"),
        "no signature": f"{head}.{body}.",
        "another body": f"{head}.{admin.rstrip('=')}.{signature}",
        "the public key as a secret": by_hmac(claims(), pem),
        "another key": signed(claims(), ec.generate_private_key(ec.SECP256R1())),
        "another algorithm": signed(claims(), weak, "RS256"),
        "unknown kid": signed(claims(), kid="other"),
        "no kid": signed(claims(), kid=None),
        "no token": "x",
        "too long": "x" * 9000,
        "no text": {"$gt": ""},
        "nothing": None,
        "a lone surrogate": "\ud800",
    }


@pytest.mark.parametrize("kind", forged())
def test_forged_tokens_are_refused(kind: str) -> None:
    with pytest.raises(AppError) as refused:
        verifier().principal(forged()[kind])
    assert refused.value.code is ErrorCode.UNAUTHENTICATED


def test_a_token_that_is_known_still_ends_and_is_still_withdrawn() -> None:
    clock = ManualClock()
    revoked: set[str] = set()
    versions = {"u_1": 1}
    checks = verifier(
        clock=clock,
        revoked=revoked.__contains__,
        outdated=lambda user, version: version < versions[user],
    )
    token = signed(claims())
    assert checks.principal(token) is checks.principal(token)
    revoked.add("s_1")
    with pytest.raises(AppError, match="signed out"):
        checks.principal(token)
    revoked.clear()
    versions["u_1"] = 2
    with pytest.raises(AppError, match="signed out"):
        checks.principal(token)
    versions["u_1"] = 1
    clock.move(904)
    assert checks.principal(token).user_id == "u_1"
    clock.move(1)
    for _ in range(2):
        with pytest.raises(AppError, match="expired"):
            checks.principal(token)


def test_few_tokens_are_remembered() -> None:
    checks = verifier(known=2)
    tokens = [signed(claims(jti=str(n))) for n in range(3)]
    first = checks.principal(tokens[0])
    for token in tokens[1:]:
        checks.principal(token)
    assert checks.principal(tokens[0]) is not first
    assert checks.principal(tokens[2]) is checks.principal(tokens[2])


def write(path: Path, key: Any, *, public: bool = False) -> Path:
    if public:
        path.write_bytes(
            key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
    else:
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
    return path


def test_keys_rotate_without_a_token_that_fails(tmp_path: Path) -> None:
    old = write(tmp_path / "old.pem", ec.generate_private_key(ec.SECP256R1()))
    private = ec.generate_private_key(ec.SECP256R1())
    new = write(tmp_path / "new.pem", private)
    steps = [[old], [old, new], [new, old], [new]]
    rings = [load_token_keys(step, None) for step in steps]

    def issued(signer: Signer) -> str:
        return Issuer(signer, "i", "a", 900, CLOCK, lambda: "j").issue(
            user_id="u_1", sign_in="s", roles=[Role.GUARDIAN], version=1, signed_in_at=NOW
        )

    # While servers are replaced one by one, a step and the next one are at work together.
    for one, other in [(0, 1), (1, 0), (1, 2), (2, 1), (2, 3)]:
        checks = Verifier(rings[other].verifying, "i", "a", 5, clock=CLOCK)
        assert checks.principal(issued(rings[one].signer)).user_id == "u_1"
    # The last step waits until the tokens of the old key have ended.
    checks = Verifier(rings[3].verifying, "i", "a", 5, clock=CLOCK)
    with pytest.raises(AppError, match="unknown key"):
        checks.principal(issued(rings[1].signer))
    public = write(tmp_path / "public.pem", private, public=True)
    kids = [key.kid for key in load_token_keys([old, public], None).verifying]
    assert kids == [key.kid for key in rings[1].verifying]


def test_a_key_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    other_curve = write(tmp_path / "384.pem", ec.generate_private_key(ec.SECP384R1()))
    no_key = tmp_path / "none.pem"
    no_key.write_text("secret rubbish")
    public = write(tmp_path / "public.pem", private, public=True)
    for path, fault in (
        (other_curve, "P-256"),
        (no_key, "cannot be read"),
        (tmp_path / "missing.pem", "cannot be read"),
        (public, "must be a private key"),
    ):
        with pytest.raises(TokenKeyError, match=fault) as named:
            load_token_keys([path], None)
        assert path.name in str(named.value)
        assert "rubbish" not in str(named.value)
    with pytest.raises(TokenKeyError, match="no key"):
        load_token_keys([], None)


def test_only_the_development_key_grants(tmp_path: Path) -> None:
    path = tmp_path / "dev.pem"
    create_dev_key(path)
    keys = load_token_keys([], path)
    token = mint(path, sub="d", roles=["guardian"], children=["c_1"], clock=CLOCK)
    who = Verifier(keys.verifying, "gemgem", "gemgem", 5, clock=CLOCK).principal(token)
    assert who.granted == {"c_1"}
    good = signed(claims(children=["c_1"]))
    assert verifier().principal(good).granted == frozenset()
