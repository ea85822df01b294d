"""All that the routes need, made once: who is asked, who is told, and by which limits."""

from typing import Annotated, TypeVar, cast

from fastapi import Depends, Request

from neural_hive.api.api_keys import KeyRing
from neural_hive.api.auth import Authenticator, Identity, KeyVerifier, Verifier
from neural_hive.api.health import HealthLook
from neural_hive.api.jwks import JwksSource
from neural_hive.api.jwt_tokens import JwtVerifier
from neural_hive.api.lanes import Lane
from neural_hive.api.limits import RateLimit
from neural_hive.api.past import PastReader
from neural_hive.api.pending import Pending
from neural_hive.api.permissions import Role
from neural_hive.api.quota_keys import QuotaKeys
from neural_hive.api.refusals import PublishedRefusals
from neural_hive.api.refused import LoggedRefusals, RefusedCalls
from neural_hive.api.repeats import Repeats
from neural_hive.api.ticket_tokens import TicketTokens, held_tokens
from neural_hive.connectors.personal import Personal, Shown
from neural_hive.connectors.sql_reader import SqlReader
from neural_hive.sdk.log_places import LogPlaces
from neural_hive.sdk.outcome import Answers
from neural_hive.sdk.sender import Sender
from neural_hive.sdk.tables import Tables
from neural_hive.settings import Settings

RETRY_S = 2.0  # a server that starts again is waited for so long
TABLES_MAX = 8  # connections
QUERY_TIMEOUT_S = 50.0  # before the request's own time is over
PUBLISHING_MAX = 16  # threads, that wait for Kafka
LOOKING_MAX = 2  # at how the system does, which takes long while a part of it is away
TESTING_MAX = 2  # dry runs of SLOs, each of many questions to Prometheus
T = TypeVar("T")


class NoReader(RuntimeError):
    """There is no ClickHouse user to read for callers; the text says why, and what to do."""


class Services:
    """Connections to Kafka and ClickHouse, opened when first used; may be used from many threads."""

    def __init__(self, settings: Settings, refusals: RefusedCalls | None = None) -> None:
        """Opens nothing yet. Raises NoReader; PrivateFileRefused: a key cannot be used."""
        self.settings = settings
        self.personal = Personal.of(settings)
        self.sender = Sender(settings.kafka_config(), "neural-hive api", personal=self.personal)
        is_told = refusals is None and "operations" in settings.systems  # who keeps them
        self._published = PublishedRefusals(self.sender.refused_call) if is_told else None
        self.refusals = refusals or self._published or LoggedRefusals()
        reader = _reader(settings)
        self.tables = Tables(settings, user=reader, connections=TABLES_MAX, retry_s=RETRY_S)
        self.sql, self.quota_keys = SqlReader.of(settings, QUERY_TIMEOUT_S), QuotaKeys.of(settings.api_folder)
        self.log = LogPlaces(settings.kafka_config())
        self.pending = Pending(Answers(self.log, settings, self.tables), self.log)
        self.health = HealthLook(settings, self.tables)
        self.past = PastReader(settings)
        self.publishing, self.looking = Lane(PUBLISHING_MAX), Lane(LOOKING_MAX)
        self.testing = Lane(TESTING_MAX)
        self.repeats = Repeats(self.sender, self.tables, self.personal)
        self.tokens = held_tokens(settings.api_folder)
        self.authenticator = Authenticator(*_verifiers(settings, self.tokens))
        self.callers = RateLimit(settings.api_rate_per_s, settings.api_rate_burst)
        self.strangers = RateLimit(settings.api_rate_per_s, settings.api_rate_burst)

    def named(self, value: T, identity: Identity) -> T:
        """What was read, with persons named to who may look back or has to ask them, and shortened for all others.

        Raises SubjectKeysUnusable.
        """
        may_know = identity.roles & {Role.AUDITOR, Role.OPERATOR}
        return self.personal.shown_in(value, Shown.CLEAR if may_know else Shown.SHORT)

    def close(self) -> None:
        """Lets the servers go."""
        if self._published is not None:
            self._published.close()
        self.health.close()
        self.log.close()
        self.tables.close()


def _reader(settings: Settings) -> str:
    """The ClickHouse user who reads for others: never the one who writes the tables. Raises NoReader."""
    user = settings.clickhouse_api_user
    mend = (
        "Make a user who only reads (deploy/clickhouse/readers.sql does), and set clickhouse_api_user and "
        "clickhouse_api_password"
    )
    if user == settings.clickhouse_user:
        raise NoReader(
            f"clickhouse_api_user is {user}, who writes the tables: callers must not read as them. {mend}"
        )
    if settings.clickhouse_api_password is None and not settings.password_of(user):
        raise NoReader(
            f"the password of {user}, who reads in ClickHouse for the API's callers, is not known; the embedded engine "
            f"makes it at its first start ({settings.clickhouse_folder}/{user}.password). With your own server: {mend}"
        )
    return user


def _verifiers(settings: Settings, tokens: TicketTokens) -> list[Verifier]:
    found: list[Verifier] = [KeyVerifier(KeyRing(settings.api_folder)), tokens]
    if settings.api_jwt_issuer:
        source = JwksSource(settings.api_jwt_keys, settings.api_jwt_issuer)
        issuer, audience = settings.api_jwt_issuer, settings.api_jwt_audience
        rules = settings.api_jwt_algorithms, settings.api_jwt_roles_claim, settings.api_jwt_clock_skew_s
        found.append(JwtVerifier(source, issuer, audience, *rules))
    return found


def _services(request: Request) -> Services:
    return cast(Services, request.app.state.services)


def _identity(request: Request) -> Identity:
    return cast(Identity, request.state.identity)


ServicesOf = Annotated[Services, Depends(_services)]
IdentityOf = Annotated[Identity, Depends(_identity)]
