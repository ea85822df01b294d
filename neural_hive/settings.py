"""Settings of every process: from the command line, the environment (NEURAL_HIVE_…), a file, or a running system."""

import itertools
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from neural_hive.state import running_state

PREFIX = "NEURAL_HIVE_"
ADDRESSES = frozenset({"kafka_bootstrap", "clickhouse_host", "clickhouse_port"})


class BadSettings(ValueError):
    """A setting is wrong; the text names it, where it came from, and what it must be."""


class NothingRuns(BadSettings):
    """No system runs on the data folder, and no address is given: a default one could be another system's."""


class Settings(BaseSettings):
    """All settings. A service whose address is given is used as it is; the others are started here."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    data: Path = Path(".neural-hive")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "text"] = "auto"  # auto: text on a terminal

    kafka_bootstrap: str = Field("127.0.0.1:19092", min_length=1)
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    kafka_sasl_username: str | None = None
    kafka_sasl_password: SecretStr | None = None
    kafka_ssl_ca: Path | None = None
    kafka_ssl_certificate: Path | None = None
    kafka_ssl_key: Path | None = None
    kafka_ssl_key_password: SecretStr | None = None

    clickhouse_host: str = "127.0.0.1"
    clickhouse_port: int = Field(18123, ge=1, le=65535)
    clickhouse_secure: bool = False
    clickhouse_user: str = "ingest"
    clickhouse_password: SecretStr | None = None
    clickhouse_database: str = Field("neural_hive", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")

    clickhouse_api_user: str = "api"  # who reads for others
    clickhouse_api_password: SecretStr | None = None
    sql_users: Path | None = None  # in the embedded engine's data, if none is named

    schema_registry_url: str = "http://127.0.0.1:18081"

    partitions: int = Field(4, ge=1, le=1000)
    replication: int = Field(1, ge=1, le=9)
    systems: tuple[str, ...] = ("orchestrator", "registry", "operations", "privacy")
    own_processes: tuple[str, ...] = ("orchestrator",)  # which of them share theirs with no other
    schemas_until: tuple[int, ...] = ()

    agent_id: str = Field("local", pattern=r"^[A-Za-z0-9._-]{1,128}$")
    worker_concurrency: int = Field(4, ge=1, le=256)
    worker_task_types: tuple[Literal["BUILD", "TEST", "VALIDATE", "DEPLOY", "EXECUTE"], ...] = Field(
        ("BUILD", "TEST", "VALIDATE", "DEPLOY", "EXECUTE"), min_length=1
    )
    worker_capabilities: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,128}$")], ...] = Field(
        (), max_length=64
    )
    agent_heartbeat_s: float = Field(30.0, ge=0.1, le=86_400)
    agent_degraded_s: float = Field(90.0, le=1e9)
    agent_unhealthy_s: float = Field(180.0, le=1e9)
    agent_removed_s: float = Field(600.0, le=1e9)

    allocation_limit_s: float = Field(60.0, gt=0, le=1e9)
    agents_busy_limit_s: float = Field(900.0, gt=0, le=1e9)
    deploy_view_age_s: float = Field(30.0, ge=2, le=1e9)
    workflows_max: int = Field(0, ge=0, le=1_000_000)  # in each partition; 0: any number
    match_health_weight: float = Field(0.4, ge=0, le=1e6)
    match_pheromone_weight: float = Field(0.3, ge=0, le=1e6)
    match_telemetry_weight: float = Field(0.3, ge=0, le=1e6)
    asked_factor: float = Field(2.0, ge=1, le=1e6)  # of an agent's capacity: slots that are asked for at once
    fairness_step_s: float = Field(1.0, ge=0, le=1e6)

    seal: bool = True  # whether `up` starts a sealer
    seal_every_s: float = Field(10.0, ge=0.1, le=86_400)
    seal_every_records: int = Field(10_000, ge=1, le=1_000_000)
    seal_file: Path | None = None  # in the data folder, if none is named: better on another machine's disk
    seal_origin: str = Field(
        "", pattern=r"^[^\s+]{0,200}$"
    )  # name of a new key; a random one, if none is given
    seal_key: str = ""  # the sealer's public key, or its file; that of the data folder, if none is named
    witness: bool = False  # whether `up` starts a witness: better one that somebody else runs
    witness_name: str = Field("", pattern=r"^[^\s+]{0,200}$")
    witness_keys: tuple[str, ...] = ()  # public keys of witnesses, or their files

    # Webhooks: they are sent where `systems` names "webhooks".
    webhook_retries_s: tuple[Annotated[float, Field(ge=0, le=1e6)], ...] = Field(
        (5, 30, 300, 1_800, 7_200, 18_000, 36_000), max_length=50
    )
    webhook_age_s: float = Field(259_200, gt=0, le=1e8)  # after this time nobody waits for an event any more
    webhook_timeout_s: float = Field(10.0, gt=0, le=120)
    webhook_per_endpoint: int = Field(4, ge=1, le=100)  # requests at once to one host and port
    webhook_at_once: int = Field(64, ge=1, le=1_000)  # requests at once to all
    webhook_bytes_max: int = Field(
        262_144, ge=1_024, le=8_388_608
    )  # larger events are told without their content
    webhook_networks: tuple[str, ...] = ()  # private ones that may be called, such as 10.1.0.0/16
    webhook_ports: tuple[str, ...] = ("80", "443", "1024-65535")
    webhook_http: bool = False  # whether http:// is called too
    webhook_ca: Path | None = None  # who vouches for receivers beside the usual authorities
    webhook_secrets: Path | None = None  # the folder of the secrets; in the data folder, if none is named

    # SLIs from Prometheus: they are counted where `systems` names "sla" and a server is given.
    prometheus_url: str = Field("", pattern=r"^(https?://[^\s@/?#]+(/[^\s?#]*)?)?$")
    prometheus_token_file: Path | None = None  # a bearer token
    prometheus_username: str = ""
    prometheus_password: SecretStr | None = None
    prometheus_ca: Path | None = None  # who vouches for it beside the usual authorities
    prometheus_timeout_s: float = Field(10.0, gt=0, le=120)
    prometheus_per_s: float = Field(20.0, gt=0, le=10_000)  # queries a second
    prometheus_at_once: int = Field(4, ge=1, le=64)
    prometheus_lag_s: float = Field(30.0, ge=0, le=3_600)  # a minute is asked for so long after its end
    prometheus_back_s: float = Field(21_600, ge=120, le=259_200)  # older minutes are not asked for any more

    sla_metrics_slos: int = Field(1_000, ge=0, le=100_000)  # of how many SLOs a processor tells Prometheus

    # An Alertmanager that is told of violations and exclusions, where `systems` names "sla" and one is given.
    alertmanager_url: str = Field("", pattern=r"^(https?://[^\s@/?#]+(/[^\s?#]*)?)?$")
    alertmanager_token_file: Path | None = None  # a bearer token
    alertmanager_username: str = ""
    alertmanager_password: SecretStr | None = None
    alertmanager_ca: Path | None = None  # who vouches for it beside the usual authorities
    alertmanager_timeout_s: float = Field(10.0, gt=0, le=120)
    alertmanager_every_s: float = Field(
        10.0, ge=0.1, le=60
    )  # how often there is a look at what it shall know

    kafka_port: int = Field(19092, ge=1, le=65535)
    clickhouse_http_port: int = Field(18123, ge=1, le=65535)
    schema_registry_port: int = Field(18081, ge=1, le=65535)
    api: bool = True  # whether `up` starts the HTTP API
    api_port: int = Field(18080, ge=1, le=65535)
    api_rate_per_s: float = Field(50.0, gt=0, le=1e6)  # requests of one identity
    api_rate_burst: int = Field(200, ge=1, le=1_000_000)
    api_ticket_token_s: int = Field(900, ge=10, le=86_400)  # how long the token of a ticket is good
    api_jwt_issuer: str = ""  # whose tokens are taken; "": nobody's
    api_jwt_audience: str = ""  # for whom they must be
    api_jwt_keys: str = ""  # its public keys: a file or a URL; "": its OpenID configuration tells
    api_jwt_algorithms: tuple[
        Literal[
            "RS256",
            "RS384",
            "RS512",
            "PS256",
            "PS384",
            "PS512",
            "ES256",
            "ES384",
            "ES512",
            "EdDSA",
            "Ed25519",
        ],
        ...,
    ] = Field(("RS256", "PS256", "ES256", "Ed25519"), min_length=1)
    api_jwt_roles_claim: str = Field("roles", min_length=1)
    api_jwt_clock_skew_s: int = Field(30, ge=0, le=600)
    telemetry: bool = True
    telemetry_buffer: int = Field(10_000, ge=1, le=1_000_000)
    telemetry_age_s: float = Field(3600, gt=0)
    otlp_endpoint: str = Field("", pattern=r"^(https?://\S+)?$")  # none: no traces
    trace_ratio: float = Field(1.0, ge=0, le=1)
    metrics: bool = True
    metrics_port: int = Field(0, ge=0, le=65535)  # 0: any free one, for each process

    subject_keys: Path | None = None  # the keys of persons: a folder beside the data folder, if none is named

    @model_validator(mode="after")
    def _tokens_are_for_somebody(self) -> "Settings":
        if self.api_jwt_issuer and not self.api_jwt_audience:
            raise ValueError(
                "api_jwt_audience must be given with api_jwt_issuer: tokens for others are not taken"
            )
        return self

    @model_validator(mode="after")
    def _prometheus_is_asked_by_one(self) -> "Settings":
        if self.prometheus_token_file and self.prometheus_username:
            raise ValueError("prometheus_token_file and prometheus_username are two logins: give one")
        if self.prometheus_password and not self.prometheus_username:
            raise ValueError("prometheus_password must be given with prometheus_username")
        if self.prometheus_back_s < self.prometheus_lag_s + 120:
            raise ValueError("prometheus_back_s must be longer than prometheus_lag_s by 120 s or more")
        return self

    @model_validator(mode="after")
    def _alertmanager_is_told_by_one(self) -> "Settings":
        if self.alertmanager_token_file and self.alertmanager_username:
            raise ValueError("alertmanager_token_file and alertmanager_username are two logins: give one")
        if self.alertmanager_password and not self.alertmanager_username:
            raise ValueError("alertmanager_password must be given with alertmanager_username")
        return self

    @model_validator(mode="after")
    def _silences_follow_each_other(self) -> "Settings":
        names = ("agent_heartbeat_s", "agent_degraded_s", "agent_unhealthy_s", "agent_removed_s")
        for name, later in itertools.pairwise(names):
            if getattr(self, name) >= getattr(self, later):
                raise ValueError(
                    f"{later} ({getattr(self, later):g} s) must be longer than {name} ({getattr(self, name):g} s)"
                )
        return self

    def kafka_security(self) -> dict[str, str]:
        """librdkafka's settings of encryption and login."""
        secret = SecretStr.get_secret_value
        given = {
            "security.protocol": self.kafka_security_protocol,
            "sasl.mechanism": self.kafka_sasl_mechanism,
            "sasl.username": self.kafka_sasl_username,
            "sasl.password": self.kafka_sasl_password and secret(self.kafka_sasl_password),
            "ssl.ca.location": self.kafka_ssl_ca and str(self.kafka_ssl_ca),
            "ssl.certificate.location": self.kafka_ssl_certificate and str(self.kafka_ssl_certificate),
            "ssl.key.location": self.kafka_ssl_key and str(self.kafka_ssl_key),
            "ssl.key.password": self.kafka_ssl_key_password and secret(self.kafka_ssl_key_password),
        }
        return {name: value for name, value in given.items() if value}

    def kafka_config(self) -> dict[str, Any]:
        """librdkafka's settings of the connection: bootstrap.servers and security."""
        return {"bootstrap.servers": self.kafka_bootstrap, **self.kafka_security()}

    def secrets(self) -> list[str]:
        """The texts that must appear nowhere."""
        values = (getattr(self, name) for name in type(self).model_fields)
        return [value.get_secret_value() for value in values if isinstance(value, SecretStr)]

    def password_of(self, user: str) -> str:
        """The ClickHouse password of a user: the setting, or the one that the embedded engine keeps; else empty."""
        if self.clickhouse_password is not None and user == self.clickhouse_user:
            return self.clickhouse_password.get_secret_value()
        if self.clickhouse_api_password is not None and user == self.clickhouse_api_user:
            return self.clickhouse_api_password.get_secret_value()
        try:
            return (self.clickhouse_folder / f"{user}.password").read_text().strip()
        except OSError:
            return ""

    @property
    def clickhouse_reader(self) -> str:
        """The ClickHouse user who reads for who has started us."""
        if self.is_given("clickhouse_user"):
            return self.clickhouse_user
        return "api" if self.sql_users_file.exists() else "default"

    @property
    def sql_users_file(self) -> Path:
        """Who may ask the embedded engine in SQL."""
        return self.sql_users or self.clickhouse_folder / "sql-users.toml"

    @property
    def clickhouse_folder(self) -> Path:
        """The embedded engine's data."""
        return self.data / "clickhouse"

    @property
    def api_folder(self) -> Path:
        """The API's keys."""
        return self.data / "api"

    @property
    def seal_folder(self) -> Path:
        """The sealer's keys and state."""
        return self.data / "seal"

    @property
    def witness_folder(self) -> Path:
        """The witness's keys and state."""
        return self.data / "witness"

    @property
    def seals_file(self) -> Path:
        """Where the seals are kept outside Kafka."""
        return self.seal_file or self.seal_folder / "seals.jsonl"

    @property
    def webhook_folder(self) -> Path:
        """Where the secrets of webhooks are: a file for each subscription, with its id as the name."""
        return self.webhook_secrets or self.data / "webhooks"

    @property
    def subject_keys_folder(self) -> Path:
        """The keys of persons."""
        return self.subject_keys.expanduser().absolute() if self.subject_keys else keys_beside(self.data)

    def is_given(self, *names: str) -> bool:
        """True if one of the settings was given, rather than left to its default."""
        return not self.model_fields_set.isdisjoint(names)

    def environment(self) -> dict[str, str]:
        """The settings as environment variables, secrets included, for a process that shall have the same."""
        variables = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, SecretStr):
                value = value.get_secret_value()
            text = _json_list(value) if isinstance(value, tuple) else str(value)
            variables[PREFIX + name.upper()] = text
        return variables


def keys_beside(data: Path) -> Path:
    """Where the keys of persons are, if no setting says so: not in the data folder, so who copies that has none."""
    return data.with_name(f"{data.name}.subject-keys")


def load_settings(config: Path | None = None, *, running: bool = True, **overrides: Any) -> Settings:
    """The settings that hold: overrides (None is no override), environment, file, running system, defaults.

    With `running`, a system that runs on the data folder tells its addresses, and without one they must be given.
    Raises BadSettings.
    """
    try:
        given = {name: value for name, value in overrides.items() if value is not None}
        chosen = {**read_settings_file(config), **EnvSettingsSource(Settings)(), **given}
        data = Settings(**chosen).data.expanduser().absolute()
        state = running_state(data) if running else None
        if running and state is None and not ADDRESSES & chosen.keys():
            raise NothingRuns(
                f"nothing runs on {data}: start it with `neural-hive up`, give --data of a system that runs, or name "
                f"servers in the settings, such as {PREFIX}KAFKA_BOOTSTRAP"
            )
        return Settings(**{**(state.endpoints if state else {}), **chosen, "data": data})
    except BadSettings:
        raise
    except ValidationError as error:
        raise BadSettings(_explain(error, config)) from None
    except ValueError as error:
        raise BadSettings(f"cannot read the settings: {error}") from error


def read_settings_file(config: Path | None) -> dict[str, Any]:
    """What a settings file says, by name. Raises BadSettings."""
    if config is None:
        return {}
    try:
        text = config.read_text()
        content = tomllib.loads(text) if config.suffix == ".toml" else yaml.safe_load(text)
    except OSError as error:
        raise BadSettings(f"cannot read settings file {config}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadSettings(f"settings file {config} is not valid: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise BadSettings(f"settings file {config} must hold `name: value` pairs")
    return {str(name): value for name, value in content.items()}


def _explain(error: ValidationError, config: Path | None) -> str:
    place = f" or in {config}" if config else ""
    problems = []
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"])
        if not name:  # of several settings together: the text names them
            problems.append(problem["msg"].removeprefix("Value error, "))
        elif problem["type"] == "extra_forbidden":
            problems.append(f"there is no setting {name}")
        else:
            problems.append(f"{name} (in {PREFIX}{name.upper()}{place}): {problem['msg']}")
    return "; ".join(problems)


def _json_list(values: tuple[str, ...]) -> str:
    return "[" + ",".join(f'"{value}"' for value in values) + "]"
