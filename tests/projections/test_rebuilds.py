"""Read models made anew beside the live ones, while the projector works, with every interruption."""

import threading
import time
from collections.abc import Callable

import msgspec
import pytest

from neural_hive.projections import projector, rebuilds
from neural_hive.projections.comparing import compare
from neural_hive.projections.projection import Column
from neural_hive.projections.rebuilds import Step, begin, fill, hand_over, newest
from neural_hive.projections.store import Store
from neural_hive.projections.ticket_history import TICKET_HISTORY
from neural_hive.projections.tickets import TICKETS
from neural_hive.replay import rebuild as rebuild_module
from neural_hive.replay.rebuild import NoSuchReadModel, abandon, named, rebuild
from tests.projections.support import Follower, Log, completed, ready, started

Make = Callable[..., Follower]


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuilds, "SLICE_OFFSETS", 7)
    monkeypatch.setattr(projector, "REBUILDS_EVERY_S", 0.2)
    monkeypatch.setattr(rebuild_module, "LOOK_EVERY_S", 0.05)


def _write(log: Log, first: int, count: int) -> None:
    for number in range(first, first + count):
        name = f"t{number}"
        log.write(log.events, [ready(name), started(name), completed(name)], partition=number % 2)


def _tables(store: Store) -> set[str]:
    rows = store.rows("SELECT name FROM system.tables WHERE database = currentDatabase()")
    return {str(name) for (name,) in rows if rebuilds.INFIX in str(name)}


def test_a_table_takes_its_place_while_events_arrive_and_readers_never_see_less(log: Log, few: Make) -> None:
    _write(log, 0, 20)
    with few().running() as f:
        f.wait_rows("tickets", 20)
        seen: list[int] = []
        stop = threading.Event()

        def read() -> None:
            while not stop.is_set():
                seen.append(int(f.one("SELECT count() FROM tickets")))

        reader = threading.Thread(target=read)
        writer = threading.Thread(target=lambda: [_write(log, 20 + n, 1) for n in range(40)])
        reader.start()
        writer.start()
        told = []
        [first, second] = rebuild(
            f.store, (TICKETS, TICKET_HISTORY), lambda p, progress: told.append(progress)
        )
        writer.join()
        f.wait_rows("tickets", 60)
        stop.set()
        reader.join()
        assert first.is_live and second.is_live
        assert first.before is not None and first.before.equal
        assert told[-1].slices_done == told[-1].slices and told[-1].rows >= 60
        assert seen == sorted(seen), "a reader saw less than before"
        assert compare(f.store, TICKETS).equal and compare(f.store, TICKET_HISTORY).equal
        assert _tables(f.store) == set()


def test_what_is_interrupted_goes_on_and_what_was_filled_is_not_filled_again(log: Log, few: Make) -> None:
    _write(log, 0, 20)
    with few().running() as f:
        f.wait_rows("tickets", 20)
        made = begin(f.store, TICKETS)
        filling = fill(f.store, TICKETS, made)
        done = [next(filling), next(filling)][-1]
        filling.close()
        f.store.command("TRUNCATE TABLE rebuild_slices")  # the last notes may be lost
        assert newest(f.store)["tickets"].step is Step.FILLING
        _write(log, 20, 5)
        f.wait_rows("tickets", 25)
        [outcome] = rebuild(f.store, (TICKETS,))
        assert outcome.is_live
        assert done.slices_done < done.slices
        assert newest(f.store)["tickets"].id == made.id
        assert compare(f.store, TICKETS).equal


def test_without_a_projector_the_old_table_stays_until_one_starts(log: Log, few: Make) -> None:
    _write(log, 0, 5)
    with few().running() as f:
        f.wait_rows("tickets", 5)
    f.store.command("ALTER TABLE tickets_versions DELETE WHERE ticket_id = 't3' SETTINGS mutations_sync = 1")
    f.store.command("INSERT INTO tickets_versions SELECT * FROM tickets_versions WHERE ticket_id = 't1'")
    [outcome] = rebuild(f.store, (TICKETS,), wait_s=0.0)
    assert outcome.step is Step.FILLED and not outcome.is_live
    assert outcome.before is not None
    assert {key[0] for key in outcome.before.differing_keys} == {"t1", "t3"}
    [again] = rebuild(f.store, (TICKETS,), wait_s=0.0)
    assert again.step is Step.FILLED and again.before is None
    assert int(f.one("SELECT count() FROM tickets")) == 4
    with few().running() as f:
        f.wait(lambda: newest(f.store)["tickets"].step is Step.SWAPPED, "swapped")
        assert compare(f.store, TICKETS).equal
        assert _tables(f.store) == set()


def test_an_exchange_that_was_made_and_not_told_of_is_not_made_again(log: Log, few: Make) -> None:
    _write(log, 0, 5)
    with few().running() as f:
        f.wait_rows("tickets", 5)
    f.store.command("ALTER TABLE tickets_versions DELETE WHERE ticket_id = 't3' SETTINGS mutations_sync = 1")
    [_] = rebuild(f.store, (TICKETS,), wait_s=0.0)
    f.store.command(f"EXCHANGE TABLES {newest(f.store)['tickets'].table} AND tickets_versions")
    with few().running() as f:
        f.wait(lambda: newest(f.store)["tickets"].step is Step.SWAPPED, "told")
        assert compare(f.store, TICKETS).equal


def test_what_another_build_has_begun_is_given_up(log: Log, few: Make) -> None:
    _write(log, 0, 3)
    with few().running() as f:
        f.wait_rows("tickets", 3)
        made = begin(f.store, msgspec.structs.replace(TICKETS, columns=(*TICKETS.columns, Column("another"))))
        hand_over(f.store, made)
        f.wait(lambda: newest(f.store)["tickets"].step is Step.GIVEN_UP, "given up")
        assert "otherwise" in newest(f.store)["tickets"].detail
        assert _tables(f.store) == set()
        assert compare(f.store, TICKETS).equal
        begin(f.store, TICKETS)
        assert abandon(f.store, (TICKETS,)) == ["tickets"]
        assert abandon(f.store, (TICKETS,)) == []
        assert _tables(f.store) == set()


def test_a_table_that_nobody_fills_goes_at_the_next_start(log: Log, few: Make) -> None:
    _write(log, 0, 3)
    with few().running() as f:
        f.wait_rows("tickets", 3)
    f.store.command(TICKETS.ddl(f"tickets_versions{rebuilds.INFIX}0123"))
    begin(f.store, TICKET_HISTORY)
    with few().running() as f:
        f.wait(lambda: f.is_ready, "ready")
        deadline = time.monotonic() + 10
        while len(_tables(f.store)) > 1 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert _tables(f.store) == {newest(f.store)["ticket_history"].table}


def test_names_that_are_no_read_model() -> None:
    assert [p.name for p in named(["tickets", "workflows"])] == ["workflows", "tickets"]
    with pytest.raises(NoSuchReadModel, match="no read model nonsense; there are: agents"):
        named(["nonsense"])
