"""The keys that the settings name: those that sign tokens, and those that seal fields."""

from config.settings import Settings
from models.accounts.signing import TokenKeyError, TokenKeys, load_token_keys
from models.cipher import FieldCipher, KeyRingError, dev_ring, ring_of


class ConfigurationError(Exception):
    """The settings do not say what the process needs. The message says what to do."""


def token_keys_of(settings: Settings) -> TokenKeys:
    """Return the keys of access tokens that the settings name.

    Raises:
        ConfigurationError: there is none, or one cannot be used.
    """
    if settings.dev_key is None and not settings.token_keys:
        raise ConfigurationError(
            "No key to sign tokens with: set GEMGEM_TOKEN_KEYS to PEM files, GEMGEM_DEV_KEY to one "
            "on a laptop, or start with `serve --embedded`, which makes that."
        )
    try:
        return load_token_keys(settings.token_keys, settings.dev_key)
    except TokenKeyError as error:
        raise ConfigurationError(f"GEMGEM_TOKEN_KEYS: {error}.") from error
    except (OSError, ValueError) as error:
        raise _dev_key_error(settings) from error


def field_cipher(settings: Settings) -> FieldCipher:
    """Return the cipher of personal fields that the settings describe.

    Raises:
        ConfigurationError: a key is missing or is none.
    """
    keys, index_key = settings.field_keys, settings.index_key
    if keys is None and index_key is None and settings.dev_key is not None:
        try:
            return FieldCipher(dev_ring(settings.dev_key))
        except (OSError, ValueError) as error:
            raise _dev_key_error(settings) from error
    if keys is None or index_key is None:
        raise ConfigurationError("Set GEMGEM_FIELD_KEYS and GEMGEM_INDEX_KEY, both of them.")
    try:
        return FieldCipher(ring_of(keys.get_secret_value(), index_key.get_secret_value()))
    except KeyRingError as error:
        raise ConfigurationError(str(error)) from error


def _dev_key_error(settings: Settings) -> ConfigurationError:
    return ConfigurationError(f"GEMGEM_DEV_KEY: {settings.dev_key} cannot be read as a PEM key.")
