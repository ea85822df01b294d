"""All read models, in the order in which they are filled. A new one is one file and one line here."""

from typing import Final

from neural_hive.projections.dead_letters import DEAD_LETTERS
from neural_hive.projections.projection import Projection
from neural_hive.projections.ticket_history import TICKET_HISTORY
from neural_hive.projections.tickets import TICKETS
from neural_hive.projections.workflows import WORKFLOWS

PROJECTIONS: Final[tuple[Projection, ...]] = (WORKFLOWS, TICKETS, TICKET_HISTORY, DEAD_LETTERS)
