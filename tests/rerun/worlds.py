"""Histories of simulated worlds, as a run reads them."""

from collections.abc import Mapping

from neural_hive.connectors.kafka_log import Record
from neural_hive.replay.rerun.recording import Recording, Stretch
from neural_hive.replay.rerun.simulation import Simulation
from neural_hive.streams.kernel.inbox import DEAD_LETTERS
from tests.simulation.hive_scenario import Hive
from tests.simulation.run import silent_kernel
from tests.simulation.world import PARTITIONS, World

LOGIC = "logic"  # what the worlds' processors say that they are


def hive_world(seed: int, logic: Mapping[str, str] | None = None) -> World:
    """A world in which orchestrator and registry have worked, and much went wrong. `logic`: see World."""
    with silent_kernel():
        world = World(seed, Hive, logic=logic)
        world.run(Hive.steps)
    return world


def recording_of(world: World) -> Recording:
    """What its log holds at the end."""
    systems = world.systems.values()
    topics = {t for system in systems for t in (*system.topics, *system.event_topics)}
    topics |= {view.topic for system in systems for view in system.views.values()}
    return Recording(
        {
            topic: [_stretch(world, topic, number) for number in range(PARTITIONS)]
            for topic in sorted({*topics, DEAD_LETTERS})
        }
    )


def _stretch(world: World, topic: str, number: int) -> Stretch:
    place = (topic, number)
    end = len(world.broker.logs.get(place, []))
    return Stretch(
        0,
        end,
        [
            Record(*place, offset, entry.at // 1_000, entry.key, entry.value, entry.headers)
            for offset, entry in world.broker.committed(place, 0, end)
        ],
    )


def recording_of_run(simulation: Simulation) -> Recording:
    """What a run has left, as if it had been a history."""
    broker, counts = simulation.hive.broker, simulation.hive.counts
    systems = simulation.hive.systems.values()
    topics = {t for system in systems for t in (*system.inputs, *system.event_topics)}
    topics |= {view.topic for system in systems for view in system.views.values()}
    logs = {
        topic: [broker.logs.get((topic, n), []) for n in range(counts[topic])] for topic in sorted(topics)
    }
    return Recording({topic: [Stretch(0, len(log), log) for log in held] for topic, held in logs.items()})
