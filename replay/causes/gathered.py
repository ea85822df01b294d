"""Gathers all that may stand in one tree of causes, in few passes over the log.

What is caused carries the trace of its cause: a processor gives it on to its events and messages, and workers answer
under the trace of what they were told. So one pass for everything that holds the trace id brings nearly all, whoever
wrote it; ids stand in values as they are written, and only what holds one is decoded. Where the chain leaves the trace
(somebody sent a message in answer to an event, and began a trace of his own), another pass looks for the id that is
missing and for its trace.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from neural_hive.connectors.kafka_log import UnreadableLog
from neural_hive.replay.causes.node import Kind, Node, Read, Topics, node_of
from neural_hive.replay.causes.timers import Timer, timers_of
from neural_hive.replay.moment import Place, place_of, record_at
from neural_hive.replay.reader import LogSource
from neural_hive.replay.scan import ranges_of, records, records_at

NODES_MAX: Final = 200_000
PASSES_MAX: Final = 6


class NoSuchEvent(LookupError):
    """Nothing in the log has this id, or at this place lies nothing that causes or is caused."""


class Gathered:
    """The nodes by id, of which each is there once; and whether there were more."""

    def __init__(self, source: LogSource, topics: Topics, read: Read) -> None:
        self.nodes: dict[str, Node] = {}
        self.cut = ""  # what was left out
        self._source, self._topics, self._read = source, topics, read
        self._sought: set[str] = set()
        self._no_timers: set[str] = set()  # ids that were looked for among timers

    def around(self, text: str) -> Node:
        """The event (or message) with this id or at this place, with all that may stand in one tree with it.

        Raises NoSuchEvent, BadMoment, NewerEvent; and what the source raises.
        """
        self._leave_out_what_is_gone()
        asked = self._asked(text)
        self._look_for([asked.trace_id, asked.id])
        self._add(asked)
        for _ in range(PASSES_MAX):
            self._read_causes()
            self._add_timers()
            missing = [*self._missing_before(asked), *self._traces_of_caused(asked)]
            if not missing or not self._look_for(missing):
                break
        else:
            self._note_cut(f"the log was looked through {PASSES_MAX} times; there may be more before")
        return self.nodes[asked.id]

    def _leave_out_what_is_gone(self) -> None:
        """Inputs expire, and may be in no archive: what is known of events is told without them."""
        kept, gone = [], []
        for topic in self._topics.messages:
            try:
                ranges_of(self._source, topic)
                kept.append(topic)
            except UnreadableLog as error:
                gone.append(f"{topic} cannot be read: {error}")
        self._topics = msgspec.structs.replace(self._topics, messages=tuple(kept))
        if gone:
            self._note_cut("; ".join(gone))

    def _asked(self, text: str) -> Node:
        place = place_of(text)
        if place is not None:
            return self._at(place)
        for topics in (self._topics.events, self._topics.messages):
            for record in records(self._source, topics, needles=[text] if text else []):
                node = node_of(record, self._topics, self._read)
                if node is not None and node.id == text:
                    return node
        raise NoSuchEvent(
            f"no event or message has the id {text!r}: `neural-hive replay history` tells ids, and places as "
            "TOPIC:PARTITION:OFFSET"
        )

    def _at(self, place: Place) -> Node:
        known = (*self._topics.events, *self._topics.messages)
        if place.topic not in known:
            raise NoSuchEvent(f"{place.topic} is none of the topics {', '.join(sorted(known))}")
        node = node_of(record_at(self._source, place), self._topics, self._read)
        if node is None:
            raise NoSuchEvent(f"what lies at {place} cannot be read as an event or message")
        return node

    def _look_for(self, texts: Iterable[str]) -> bool:
        """One pass for what holds one of the texts; False if all of them were looked for before."""
        needles = [text for text in dict.fromkeys(texts) if text and text not in self._sought]
        self._sought.update(needles)
        if not needles:
            return False
        for record in records(self._source, (*self._topics.events, *self._topics.messages), needles=needles):
            node = node_of(record, self._topics, self._read)
            if node is not None and not self._add(node):
                self._note_cut(f"more than {NODES_MAX:,} events and messages belong to it")
                break
        return True

    def _note_cut(self, why: str) -> None:
        self.cut = "; ".join(filter(None, (self.cut, why)))

    def _add(self, node: Node) -> bool:
        known = self.nodes.get(node.id)
        if known is None:
            if len(self.nodes) >= NODES_MAX:
                return False
            self.nodes[node.id] = node
        elif node.place not in (known.place, *known.copies):
            first, other = sorted((known, node), key=lambda n: (n.at, n.place))
            copies = (*known.copies, other.place)
            self.nodes[node.id] = msgspec.structs.replace(first, copies=copies)
        return True

    def _read_causes(self) -> None:
        """Messages that began a trace of their own name: they lie where their events say."""
        places = [
            place
            for node in self.nodes.values()
            if node.cause_place and node.causation_id not in self.nodes
            if (place := place_of(node.cause_place)) is not None
        ]
        for record in records_at(self._source, places).values():
            node = node_of(record, self._topics, self._read)
            if node is not None:
                self._add(node)

    def _add_timers(self) -> None:
        """What was caused by no record follows from a timer: events say so, and messages whose cause is nowhere."""
        caused: dict[str, list[Node]] = {}
        for node in self.nodes.values():
            if node.causation_id and node.causation_id not in self.nodes and self._is_by_timer(node):
                caused.setdefault(node.causation_id, []).append(node)
        caused = {timer_id: nodes for timer_id, nodes in caused.items() if timer_id not in self._no_timers}
        self._no_timers.update(caused)
        if not caused:
            return
        all_of_them = [node for nodes in caused.values() for node in nodes]
        owners = {id_ for node in all_of_them for id_ in (node.aggregate_id, node.correlation_id) if id_}
        found = timers_of(self._source, self._topics.aggregates, caused, owners)
        for timer_id, nodes in caused.items():
            first = min(nodes, key=lambda n: (n.at, n.version))
            if timer_id in found or first.kind is Kind.EVENT:
                self._add(_timer_node(timer_id, found.get(timer_id), first))

    def _is_by_timer(self, node: Node) -> bool:
        if node.kind is Kind.EVENT:
            return not node.cause_place
        return node.causation_id in self._sought

    def _missing_before(self, asked: Node) -> list[str]:
        """What to look for to get further back: what the first known one names, and its trace."""
        first, seen = asked, {asked.id}
        while (cause := self.cause_of(first)) is not None and cause.id not in seen:
            seen.add(cause.id)
            first = cause
        return [first.causation_id, first.trace_id] if first.causation_id else []

    def _traces_of_caused(self, asked: Node) -> list[str]:
        """The traces of all that is known to follow; a message without one began one of the processor's making."""
        children: dict[str, list[Node]] = {}
        for node in self.nodes.values():
            children.setdefault(node.causation_id, []).append(node)
        found, todo, seen = dict[str, None](), [asked], {asked.id}
        while todo:
            for child in children.get(todo.pop().id, ()):
                if child.id not in seen:
                    seen.add(child.id)
                    todo.append(child)
                    found[child.trace_id] = None
        return list(found)

    def cause_of(self, node: Node) -> Node | None:
        """What caused a node, if it is known: of a timer, the event that set it."""
        return self.nodes.get(node.causation_id)


def _timer_node(timer_id: str, timer: Timer | None, caused: Node) -> Node:
    if timer is None:
        timer = Timer("", caused.occurred_at, "", "", 0, "")
    return Node(
        Kind.TIMER,
        timer_id,
        timer.name,
        "",
        timer.due,
        timer.due,
        timer.set_by,
        "",
        caused.trace_id,
        caused.correlation_id,
        timer.aggregate_type,
        timer.aggregate_id,
        timer.version,
        caused.producer,
    )
