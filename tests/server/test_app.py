"""The composition: what the settings must say before anything starts."""

import base64
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.settings import load_settings
from models.accounts.tokens import create_dev_key
from models.cipher import Context
from server.keyring import ConfigurationError, field_cipher

KEY = SecretStr(base64.b64encode(bytes(32)).decode())
HERE = Context("children", "name", "c_1")


def test_fields_are_sealed_with_the_keys_of_the_settings() -> None:
    keys = SecretStr(f"k1:{KEY.get_secret_value()}")
    cipher = field_cipher(load_settings(field_keys=keys, index_key=KEY))
    assert cipher.seal("지우", HERE).startswith("s1.k1.")


def test_without_keys_fields_are_sealed_by_the_development_key(tmp_path: Path) -> None:
    create_dev_key(tmp_path / "dev.pem")
    cipher = field_cipher(load_settings(dev_key=tmp_path / "dev.pem"))
    assert cipher.seal("지우", HERE).startswith("s1.dev.")


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"field_keys": SecretStr(f"k1:{KEY.get_secret_value()}")},
        {"index_key": KEY},
        {"field_keys": SecretStr("k1:short"), "index_key": KEY},
    ],
)
def test_keys_that_are_missing_or_wrong_are_told(given: dict[str, SecretStr]) -> None:
    with pytest.raises(ConfigurationError, match=r"Field key 1|GEMGEM_FIELD_KEYS"):
        field_cipher(load_settings(**given))
