"""What all views share: who is asked, who is signed in, and what is looked at once for everybody."""

import msgspec

from neural_hive.api.services import Services
from neural_hive.page.board import Board
from neural_hive.page.console import Console
from neural_hive.page.sessions import Sessions
from neural_hive.page.verification_run import VerificationRun


class Site(msgspec.Struct, frozen=True):
    """The page's parts, made once for a process."""

    services: Services
    sessions: Sessions
    board: Board
    console: Console
    verification: VerificationRun

    @classmethod
    def of(cls, services: Services) -> "Site":
        """Over the services of the API."""
        return cls(
            services,
            Sessions(services.authenticator),
            Board(services),
            Console(services.settings),
            VerificationRun(services.settings),
        )
