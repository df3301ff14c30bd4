"""The table of what-ifs: what a row says of a run that went wrong, or that saw less than another."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec
import pytest
from scenario import NODE
from shadow_stage import console_on, record, served_events
from staging import LARGE, drawn, in_words, recorded, until
from test_whatif_screen import thrashing

from radixdeck.console.whatif_case import Case
from radixdeck.console.whatif_child import Runner
from radixdeck.console.whatif_columns import OtherVictim, Ran
from radixdeck.console.whatif_rows import BEST, Look, rows
from radixdeck.console.whatif_runs import WhatIfs
from radixdeck.console.whatif_words import difference_words, first_seq
from radixdeck.console.widgets.table import SyncTable
from radixdeck.policies.events import EngineEvent
from radixdeck.policies.kv_caching import KvCaching

OURS, LRU = Case("kv_caching"), Case("lru")
WHOLE = Look(None, -1, "enter")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("rows") / "run.db")


def ran(path: Path, case: Case) -> Ran:
    """Run here, not in a process of its own."""
    found = Runner(path, lambda _share: None).run(case)
    assert found.found is not None, found.failed
    return found.found


def table(runs: WhatIfs, cases: list[Case], look: Look = WHOLE) -> dict[str, list[str]]:
    return {key: [str(cell) for cell in cells] for key, cells in rows(runs, cases, look)}


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run when half of it was recorded."""
    events = served_events()
    return record(tmp_path_factory.mktemp("rows") / "earlier.db", events[: len(events) // 2])


def test_a_row_that_saw_less_keeps_its_rate_and_is_compared_over_what_both_saw(served: Path, earlier: Path) -> None:
    runs = WhatIfs(served)
    runs.keep(LRU, ran(earlier, LRU))
    alone = table(runs, [LRU, OURS])["lru"][3]
    runs.keep(OURS, ran(served, OURS))
    both = table(runs, [LRU, OURS], Look(OURS, -1, "enter"))
    assert both["lru"][3] == alone
    assert runs.missed(LRU) > 10
    assert f"{runs.missed(LRU)} requests came since: enter runs it anew" in both["lru"][-1]
    whole = WhatIfs(earlier)
    for case in (LRU, OURS):
        whole.keep(case, ran(earlier, case))
    assert runs.points(OURS, LRU) == pytest.approx(whole.points(OURS, LRU))
    assert "compared over the requests that both saw" in difference_words(runs, OURS, LRU)
    assert runs.other_victim(OURS, LRU) is None
    assert runs.wants(LRU)
    assert not runs.wants(OURS)


def test_the_best_possible_is_that_of_the_longest_recording(served: Path, earlier: Path) -> None:
    runs, alone = WhatIfs(served), WhatIfs(served)
    runs.keep(LRU, ran(earlier, LRU))
    for known in (runs, alone):
        known.keep(OURS, ran(served, OURS))
    assert table(runs, [LRU, OURS])[BEST] == table(alone, [OURS])[BEST]


async def test_what_is_run_together_sees_the_same_requests(tmp_path: Path) -> None:
    events = served_events()
    path = tmp_path / "grows.db"
    runner = Runner(path, lambda _share: None)
    session = await recorded(path, list(events[: len(events) // 2]))
    first = runner.run(LRU).found
    session.close()
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(
            "INSERT INTO events (seq, at_ns, kind, body) "
            "SELECT seq + 100000, at_ns, kind, body FROM events WHERE kind = 'prefix_matched'"
        )
    connection.close()
    second = runner.run(OURS).found
    assert first is not None
    assert second is not None
    assert (first.last_seq, first.seqs) == (second.last_seq, second.seqs)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """kv_caching raises in the middle of a run."""
    whole, heard = KvCaching.observe, 0

    def observe(self: KvCaching, event: EngineEvent) -> None:
        nonlocal heard
        heard += 1
        if heard > 100:
            raise KeyError("boom")
        whole(self, event)

    monkeypatch.setattr(KvCaching, "observe", observe)


@pytest.mark.usefixtures("broken")
def test_a_policy_that_failed_is_not_shown_as_its_own_result(served: Path) -> None:
    runs = WhatIfs(served)
    runs.keep(OURS, ran(served, OURS))
    runs.keep(LRU, ran(served, LRU))
    shown = table(runs, [OURS, LRU])
    assert shown["kv_caching"][-1] == "! failed, LRU from there"
    assert shown["lru"][-1].startswith("in ")


@pytest.mark.usefixtures("broken")
async def test_the_words_say_why_it_failed(served: Path) -> None:
    app = console_on(served)
    async with app.run_test(size=LARGE) as pilot:
        await until(pilot, lambda: NODE in app.fleet.nodes and app.fleet.nodes[NODE].synced)
        await pilot.press("0")
        await drawn(pilot)
        runs, _ = app.whatifs(app.fleet.nodes[NODE])
        assert runs is not None
        runs.keep(OURS, ran(served, OURS))
        cases = app.screen.query_one("#cases", SyncTable)
        cases.move_cursor(row=[key for key, _ in cases._rows].index("kv_caching"))
        text = in_words(await drawn(pilot))
        assert "! failed, LRU from there" in text
        assert "kv_caching: failed and gave way to LRU: kv_caching: observe: KeyError: 'boom'" in text


def test_warm_ups_are_said_of_the_best(served: Path) -> None:
    runs = WhatIfs(served)
    runs.keep(LRU, ran(served, LRU))
    assert table(runs, [LRU])[BEST][-1] == ""
    runs.keep(OURS, msgspec.structs.replace(ran(served, OURS), warm_ups=3))
    assert table(runs, [LRU, OURS])[BEST][-1] == "but for warm-ups"


def test_a_cache_that_prompts_do_not_fit_in_has_no_hit_rate(tmp_path: Path) -> None:
    path = record(tmp_path / "tiny.db", tuple(thrashing(2)))
    runs, tiny = WhatIfs(path), Case("lru", 0.25)
    runs.keep(LRU, ran(path, LRU))
    runs.keep(tiny, ran(path, tiny))
    assert table(runs, [LRU])["lru"][3].endswith("%")
    shown = table(runs, [tiny])
    assert shown["lru"][3:6] == ["-", "", ""]
    assert shown["lru"][-1] == "! 6 prompts do not fit"
    assert shown[BEST][3] == "-"


def test_what_is_counted_from_a_moment_on_has_no_evictions_of_the_whole_run(served: Path) -> None:
    runs = WhatIfs(served)
    runs.keep(LRU, ran(served, LRU))
    assert all(table(runs, [LRU])["lru"][6:9])
    late = table(runs, [LRU], Look(None, 200, "enter"))
    assert late["lru"][3].endswith("%")
    assert late["lru"][6:9] == ["", "", ""]
    assert BEST not in late


def test_evictions_beyond_those_kept_are_said_to_be_and_not_taken_for_none(
    served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut = WhatIfs(served), WhatIfs(served)
    for case in (LRU, OURS):
        whole.keep(case, ran(served, case))
    parted = whole.other_victim(LRU, OURS)
    assert parted is not None
    assert parted.first is not None
    monkeypatch.setattr("radixdeck.storage.whatif.MOST_GONE", 3)
    for case in (LRU, OURS):
        cut.keep(case, ran(served, case))
    late = parted.first.seq + 10
    assert "first other eviction: lru evicts" in difference_words(whole, LRU, OURS, late)
    assert cut.other_victim(LRU, OURS, late) == OtherVictim(None, None, beyond=True)
    assert "first other eviction: not among those kept" in difference_words(cut, LRU, OURS, late)
    assert first_seq(cut, LRU, OURS, late) is not None
