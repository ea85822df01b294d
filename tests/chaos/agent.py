"""An agent whose work is nothing: as many inputs as possible for the system that is killed around it.

python -m tests.chaos.agent AGENT_ID CAPACITY
"""

import sys

from neural_hive.process import process
from neural_hive.sdk.ticket import Ticket
from neural_hive.sdk.worker import Agent
from neural_hive.settings import load_settings

TASK_TYPES = ("BUILD", "TEST", "VALIDATE", "DEPLOY")  # what remains is for real workers


def nothing(ticket: Ticket) -> None:
    """The work."""


def main(agent_id: str, capacity: int) -> None:
    """Works until it is told to stop."""
    settings = load_settings()
    agent = Agent(agent_id, task_types=TASK_TYPES, capacity=capacity, settings=settings)
    for task_type in TASK_TYPES:
        agent.execute(task_type)(nothing)
    with process(settings, agent_id) as ready:
        ready()  # as soon as it lives: it is killed while it begins, too
        agent.run()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
