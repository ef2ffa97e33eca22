"""In production nothing is taken that only a laptop may do."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from config.services import url_fault
from config.settings import Settings, SettingsError, load_settings


def fit(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    """Return the settings of a production environment, changed."""
    given = {
        "GEMGEM_ENV": "production",
        "GEMGEM_TOKEN_KEYS": '["/run/secrets/one.pem", "/run/secrets/two.pem"]',
        "GEMGEM_MAIL__HOST": "smtp.example.com",
        **environment,
    }
    monkeypatch.delenv("GEMGEM_DEV_KEY", raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return load_settings(mongo_url=SecretStr("mongodb://m"), redis_url=SecretStr("redis://r"))


def test_a_production_that_is_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = fit(monkeypatch)
    assert settings.token_keys == (Path("/run/secrets/one.pem"), Path("/run/secrets/two.pem"))


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("GEMGEM_DEV_KEY", "/dev/key.pem", "GEMGEM_DEV_KEY"),
        ("GEMGEM_TOKEN_KEYS", "[]", "GEMGEM_TOKEN_KEYS"),
        ("GEMGEM_MAIL__HOST", "", "mail.host"),
        ("GEMGEM_MAIL__SECURITY", "none", "mail.host"),
        ("GEMGEM_GOOGLE__URL", "http://www.googleapis.com", "google.url is not https"),
        ("GEMGEM_APPLE__ID_URL", "https://localhost:8080", "apple.id_url is this machine"),
        ("GEMGEM_KAKAO__API_URL", "https://127.0.0.1", "kakao.api_url is a private address"),
        ("GEMGEM_SENS__URL", "https://[::1]/x", "sens.url is a private address"),
        ("GEMGEM_TWILIO__URL", "https://10.0.0.5", "twilio.url is a private address"),
    ],
)
def test_what_a_laptop_may_do_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, fault: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        fit(monkeypatch, **{name: value})
    assert fault in str(refused.value)
    monkeypatch.setenv("GEMGEM_ENV", "development")
    load_settings()


def test_addresses_of_this_machine_are_seen_through() -> None:
    assert url_fault("https://api.example.com/x") is None
    for url in (
        "https://127.1.2.3",
        "https://[fe80::1]",
        "https://192.168.0.1:443",
        "https://x.localhost",
        "ftp://example.com",
        "example.com",
    ):
        assert url_fault(url), url
