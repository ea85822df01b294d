"""The Alertmanager of the settings."""

from typing import Final

from neural_hive.connectors.alertmanager import Alertmanager
from neural_hive.connectors.json_api import JsonApi, Login
from neural_hive.settings import PREFIX, BadSettings, Settings

_ANSWER_BYTES_MAX: Final = (
    64 * 1024 * 1024
)  # it lists all silences at once, those of five days that are over too


class NoAlertmanager(BadSettings):
    """The settings name no Alertmanager."""


def alertmanager_of(settings: Settings) -> Alertmanager:
    """Its client. Raises NoAlertmanager, ApiError."""
    if not settings.alertmanager_url:
        raise NoAlertmanager(
            f"no Alertmanager is named: give its URL in the setting alertmanager_url ({PREFIX}ALERTMANAGER_URL)"
        )
    password = settings.alertmanager_password
    login = Login(
        settings.alertmanager_username,
        password.get_secret_value() if password else "",
        settings.alertmanager_token_file,
    )
    api = JsonApi(
        "Alertmanager",
        settings.alertmanager_url,
        login,
        timeout_s=settings.alertmanager_timeout_s,
        bytes_max=_ANSWER_BYTES_MAX,
        ca=settings.alertmanager_ca,
    )
    return Alertmanager(api)
