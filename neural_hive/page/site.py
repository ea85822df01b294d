"""What all views share: who is asked, who is signed in, and what is looked at once for everybody."""

from typing import TypeVar

import msgspec

from neural_hive.api.auth import Identity
from neural_hive.api.services import Services
from neural_hive.page.board import Board
from neural_hive.page.console import Console
from neural_hive.page.sessions import Sessions
from neural_hive.page.verification_run import VerificationRun

T = TypeVar("T")


class Site(msgspec.Struct, frozen=True):
    """The page's parts, made once for a process."""

    services: Services
    sessions: Sessions
    board: Board
    console: Console
    verification: VerificationRun

    def named(self, value: T, identity: Identity) -> T:
        """What was read, with persons as this reader may know them."""
        return self.services.named(value, identity)

    @classmethod
    def of(cls, services: Services) -> "Site":
        """Over the services of the API."""
        return cls(
            services,
            Sessions(services.authenticator),
            Board(services),
            Console(services.sql),
            VerificationRun(services.settings),
        )
