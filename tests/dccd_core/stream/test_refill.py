"""What was missed is asked for until it is there or given up; what is late gets a reason meanwhile."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from dccd_core.adapter.contract import IdWindows
from dccd_core.domain.errors import OutOfReach, Unavailable
from dccd_core.domain.timespan import HOUR, MINUTE, SECOND, ZERO, TimeRange, Us, union
from dccd_core.lake.live.coverage import Piece
from dccd_core.stream.asking import Answered
from dccd_core.stream.snapshots import Turn
from dccd_core.tables import DataType
from tests.dccd_core.stream import test_asking as desk
from tests.dccd_core.stream.pushing import wanted
from tests.dccd_core.stream.test_settler import AGO, BOOK, A, FakeConnection, Show

BARS = replace(wanted("A/USD", DataType.OHLC), dataset=desk.BARS)


def rows_of(*times: int) -> pl.DataFrame:
    return desk.rows_of(DataType.TRADES, times)


class TestWindows:
    def test_a_window_is_filled_piece_by_piece(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        connection = FakeConnection([A])
        show = Show(tmp_path, monkeypatch, connection)
        start = Us(show.now - AGO)
        show.leave(A, start, Us(start + 15 * MINUTE))
        show.tells = lambda span: Answered(rows_of(span.start, span.end - 1), span, 1)
        show.run(5)
        cut = Us(start + 10 * MINUTE)
        assert connection.pieces == [Piece("A/USD", start, cut), Piece("A/USD", cut, Us(start + 15 * MINUTE))]
        assert sum(rows.height for _, rows, _ in connection.kept) == 4
        assert show.context.windows.open(A.dataset) == []

    def test_only_what_was_answered_is_said_to_be_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connection = FakeConnection([A])
        show = Show(tmp_path, monkeypatch, connection)
        start = Us(show.now - AGO)
        show.leave(A, start, Us(start + MINUTE))
        half = Us(start + 30 * SECOND)
        show.tells = lambda span: Answered(
            rows_of(start, half), TimeRange(span.start, max(half, span.start)), 1
        )
        show.run(1.5)
        assert connection.pieces == [Piece("A/USD", start, half)]
        assert connection.kept[0][1].height == 1
        assert show.context.windows.open(A.dataset) == [TimeRange(half, Us(start + MINUTE))]

    def test_what_is_out_of_reach_is_given_up_with_the_reason_and_said(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connection = FakeConnection([A])
        show = Show(tmp_path, monkeypatch, connection)
        start = Us(show.now - AGO)
        show.leave(A, start, Us(start + MINUTE))

        def refuse(_: TimeRange) -> Answered:
            raise OutOfReach("it is too long ago")

        show.tells = refuse
        show.run(3)
        assert connection.pieces == [Piece("A/USD", start, Us(start + MINUTE), "it is too long ago")]
        assert show.context.windows.open(A.dataset) == []
        assert show.stage.notes("is not asked for any more") != []

    def test_a_venue_that_does_not_answer_is_asked_ever_more_rarely_and_at_last_no_more(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connection = FakeConnection([A])
        show = Show(tmp_path, monkeypatch, connection)
        start = Us(show.now - AGO)
        show.leave(A, start, Us(start + MINUTE))

        def fail(_: TimeRange) -> Answered:
            raise Unavailable("nobody is there")

        show.tells = fail
        show.run(60)
        assert 4 <= len(show.spans) <= 6
        [piece] = connection.pieces
        assert piece.reason == "not there yet, asked 3 times: nobody is there"
        connection.kept.clear()
        show.run(3_600)
        assert [piece.reason for piece in connection.pieces][-1] == "asked 30 times: nobody is there"

    def test_a_long_one_is_historys_to_fill(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        connection = FakeConnection([A])
        show = Show(tmp_path, monkeypatch, connection)
        start = Us(show.now - 3 * HOUR)
        show.leave(A, start, Us(start + 2 * HOUR))
        show.run(3)
        assert (show.filled, show.spans, connection.kept) == ([[A.dataset]], [], [])
        assert show.context.windows.open(A.dataset) == []

    def test_what_is_not_final_yet_waits(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        connection = FakeConnection([A])
        show = Show(tmp_path, monkeypatch, connection)
        start, end = Us(show.now - 5 * SECOND), Us(show.now + 3 * SECOND)
        show.leave(A, start, end)
        show.run(3.5)
        assert show.spans == []
        show.run(4)
        assert show.spans == [TimeRange(start, end)]

    def test_what_waits_for_its_end_is_asked_for_up_to_where_it_is_final(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its first trade came late: what was missed before the venue agreed does not wait for it."""
        connection = FakeConnection([A])
        show = Show(tmp_path, monkeypatch, connection)
        start, end = Us(show.now - 5 * SECOND), Us(show.now + 4 * SECOND)
        show.leave(A, start, end)
        show.tells = lambda span: Answered(rows_of(), span, 1)
        show.run(4.3)
        assert [one.start for one in show.spans] == [start]
        assert start < show.spans[0].end < end
        show.run(5)
        assert show.context.windows.open(A.dataset) == []
        assert len(show.spans) == 2

    def test_the_past_of_a_book_is_nobodys_to_fill(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connection = FakeConnection([BOOK])
        show = Show(tmp_path, monkeypatch, connection)
        show.leave(BOOK, Us(show.now - AGO), show.now)
        show.run(3)
        assert (show.spans, connection.kept) == ([], [])


class TestNewestOnly:
    """Of a venue that shows the newest rows only, however busy its market is."""

    def test_a_window_that_they_span_is_filled(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        connection = FakeConnection([A])
        show = Show(tmp_path, monkeypatch, connection)
        show.newest_only = True
        start, end = Us(show.now - 60 * SECOND), Us(show.now - 30 * SECOND)
        show.leave(A, start, end)
        rows = rows_of(start - 1, start, start + 5, end)
        show.newest = lambda: Answered(rows, TimeRange(Us(start - 2), Us(end + 1)), 1)
        show.run(3)
        [(_, kept, _)] = connection.kept
        assert kept["ts"].to_physical().to_list() == [start, start + 5]
        assert connection.pieces == [Piece("A/USD", start, end)]
        assert show.context.windows.open(A.dataset) == []

    def test_they_reach_up_to_what_was_final_when_they_were_asked_for(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The venue agreed to send it, and nothing has come since."""
        connection = FakeConnection([A])
        show = Show(tmp_path, monkeypatch, connection)
        show.newest_only = True
        start, end = Us(show.now - 60 * SECOND), Us(show.now + SECOND)
        show.leave(A, start, end)
        show.newest = lambda: Answered(rows_of(start - 1), TimeRange(Us(start - 2), Us(start - 1)), 1)
        show.run(1)
        assert connection.pieces[0].start == start
        assert start < connection.pieces[-1].end < end
        show.run(9)
        assert union(piece.span for piece in connection.pieces) == [TimeRange(start, end)]
        assert {piece.reason for piece in connection.pieces} == {""}

    def test_what_they_do_not_reach_back_to_is_given_up_with_why(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connection = FakeConnection([A])
        show = Show(tmp_path, monkeypatch, connection)
        show.newest_only = True
        start, end = Us(show.now - 60 * SECOND), Us(show.now - 30 * SECOND)
        show.leave(A, start, end)
        show.newest = lambda: Answered(rows_of(end - 5, end), TimeRange(Us(end - 9), end), 1)
        show.run(3)
        assert connection.pieces == [
            Piece("A/USD", Us(end - 9), end),
            Piece("A/USD", start, Us(end - 9), "X shows the last 5 rows only"),
        ]
        assert show.context.windows.open(A.dataset) == []

    def test_what_lies_wholly_before_them_is_given_up_at_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connection = FakeConnection([A])
        show = Show(tmp_path, monkeypatch, connection)
        show.newest_only = True
        start, end = Us(show.now - 60 * SECOND), Us(show.now - 30 * SECOND)
        show.leave(A, start, end)
        show.newest = lambda: Answered(rows_of(end + 5), TimeRange(Us(end + 3), Us(end + 5)), 1)
        show.run(3)
        assert connection.pieces == [Piece("A/USD", start, end, "X shows the last 5 rows only")]
        assert show.context.windows.open(A.dataset) == []

    def test_no_rows_at_all_are_asked_for_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connection = FakeConnection([A])
        show = Show(tmp_path, monkeypatch, connection)
        show.newest_only = True
        start, end = Us(show.now - MINUTE), Us(show.now + 3 * HOUR)
        show.leave(A, start, end)
        show.newest = lambda: Answered(rows_of(), TimeRange(ZERO, ZERO), 1)
        show.run(3_600)
        assert [piece.reason for piece in connection.pieces] == [
            "not there yet: X's newest rows do not reach up to what came since",
            "the venue's newest rows do not reach up to what came since",
        ]


def leave_ids(show: Show, start: Us, end: Us, last: int, before: int) -> None:
    """Let a window be open of which is known which ids are missing: those after ``last``, to ``before``."""
    windows = show.context.windows
    windows.began(A.dataset, 1, Us(start - MINUTE))
    windows.ended(A.dataset, 1, Turn(start, began=False, reason="gone", id=last))
    windows.began(A.dataset, 2, end, before)


class TestIds:
    """Where ids follow one another nothing need be final: all of them are there, or not."""

    def show(self, folder: Path, patch: pytest.MonkeyPatch) -> tuple[Show, FakeConnection, Us]:
        connection = FakeConnection([A])
        show = Show(folder, patch, connection, paging=IdWindows())
        return show, connection, show.now

    def test_what_is_missing_is_asked_for_at_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        show, connection, now = self.show(tmp_path, monkeypatch)
        start = Us(now - SECOND)
        leave_ids(show, start, now, 7, 9)
        found = rows_of(start + 5, start + 6)
        show.tells_ids = lambda _: Answered(found, TimeRange(start, now), 1)
        show.run(0.5)
        assert (show.ids, show.spans) == ([range(8, 10)], [])
        assert connection.pieces == [Piece("A/USD", start, now)]
        assert connection.kept[0][1].height == 2
        assert show.context.windows.open(A.dataset) == []

    def test_nobody_is_asked_where_none_is_missing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        show, connection, now = self.show(tmp_path, monkeypatch)
        leave_ids(show, Us(now - SECOND), now, 7, 7)
        show.run(0.5)
        assert (show.ids, show.spans) == ([], [])
        assert connection.pieces == [Piece("A/USD", Us(now - SECOND), now)]

    def test_the_last_one_told_again_is_no_missing_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        show, connection, now = self.show(tmp_path, monkeypatch)
        leave_ids(show, Us(now - SECOND), now, 7, 6)
        show.run(0.5)
        assert (show.ids, connection.pieces) == ([], [Piece("A/USD", Us(now - SECOND), now)])

    def test_ids_that_go_back_prove_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        show, connection, now = self.show(tmp_path, monkeypatch)
        leave_ids(show, Us(now - MINUTE), now, 7_000, 3)
        show.tells = lambda span: Answered(rows_of(), span, 1)
        show.run(5)
        assert (show.ids, show.spans) == ([], [TimeRange(Us(now - MINUTE), now)])
        assert len(connection.pieces) == 1

    def test_what_is_not_shown_yet_is_asked_for_again_and_at_last_by_time(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        show, connection, now = self.show(tmp_path, monkeypatch)
        leave_ids(show, Us(now - SECOND), Us(now + 2 * SECOND), 7, 9)
        show.run(1)
        assert (len(show.ids), connection.kept) == (1, [])
        show.run(8)
        assert 2 <= len(show.ids) <= 4
        assert show.spans == [TimeRange(Us(now - SECOND), Us(now + 2 * SECOND))]
        assert [piece.reason for piece in connection.pieces] == [""]

    def test_what_was_asked_for_by_time_tells_the_last_id(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was missed until the venue agreed is asked for before anything comes."""
        show, connection, now = self.show(tmp_path, monkeypatch)
        windows, agreed = show.context.windows, Us(now - 5 * SECOND)
        windows.began(A.dataset, 1, Us(now - HOUR))
        windows.ended(A.dataset, 1, Turn(Us(now - MINUTE), began=False, reason="gone", id=7))
        windows.agreed(A.dataset, 2, agreed)
        found = rows_of(now - MINUTE + 1, now - MINUTE + 2).with_columns(trade_id=pl.Series(["8", "9"]))
        show.tells = lambda span: Answered(found, span, 1)
        show.run(0.5)
        assert connection.pieces == [Piece("A/USD", Us(now - MINUTE), agreed)]
        windows.began(A.dataset, 2, now, 9)
        show.run(0.5)
        assert (show.ids, len(show.spans)) == ([], 1)
        assert connection.pieces[1:] == [Piece("A/USD", agreed, now)]


class TestManyWindows:
    def test_one_question_settles_the_quiet_bars_of_a_snapshot(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Bitfinex begins with a hundred bars, without the quiet ones."""
        connection = FakeConnection([BARS])
        show = Show(tmp_path, monkeypatch, connection)
        windows, start = show.context.windows, Us(show.now // MINUTE * MINUTE - AGO)
        for n in range(0, 4, 2):
            windows.began(BARS.dataset, 1, Us(start + n * MINUTE))
            windows.ended(BARS.dataset, 1, Turn(Us(start + (n + 1) * MINUTE), began=False, reason="quiet"))
        windows.began(BARS.dataset, 1, Us(start + 4 * MINUTE))
        times = [start, start + MINUTE, start + 2 * MINUTE, start + 3 * MINUTE]
        show.tells = lambda span: Answered(desk.rows_of(DataType.OHLC, times), span, 1)
        show.run(3)
        assert show.spans == [TimeRange(Us(start + MINUTE), Us(start + 5 * MINUTE))]  # and one that came
        missing = [Us(start + MINUTE), Us(start + 3 * MINUTE)]
        assert connection.pieces == [Piece("A/USD", at, Us(at + MINUTE)) for at in missing]
        assert [at for _, rows, _ in connection.kept for at in rows["ts"].to_physical()] == missing
        assert windows.open(BARS.dataset) == []

    def test_a_hundred_datasets_do_not_wait_for_one_look_after_another(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connection = FakeConnection([wanted(f"{base:03}/USD") for base in range(100)])
        show = Show(tmp_path, monkeypatch, connection)
        for one in connection.wanted:
            show.leave(one, Us(show.now - AGO), Us(show.now - AGO + MINUTE))
        show.run(5)  # each takes 0.1 s, four at once
        assert len(connection.pieces) == 100


class TestReasons:
    def test_what_is_not_final_for_long_is_named_and_filled_later(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connection = FakeConnection([BARS])
        show = Show(tmp_path, monkeypatch, connection)
        start = Us(show.now // MINUTE * MINUTE)
        end = Us(start + MINUTE)
        show.leave(BARS, start, end)
        show.tells = lambda span: Answered(desk.rows_of(DataType.OHLC, [start]), span, 1)
        show.run(9)
        why = "not there yet: X's bars are final 2 s later"
        assert connection.pieces == [Piece("A/USD", start, end, why)]
        show.run(60)
        assert connection.pieces[-1] == Piece("A/USD", start, end)

    def test_what_waits_for_others_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        connection = FakeConnection([wanted(f"{base:04}/USD") for base in range(500)])
        show = Show(tmp_path, monkeypatch, connection)
        for one in connection.wanted:
            show.leave(one, Us(show.now - AGO), Us(show.now - AGO + MINUTE))
        show.run(10)
        named = [piece for piece in connection.pieces if piece.reason]
        assert {piece.reason for piece in named} == {
            "not there yet: it waits for its turn in what X lets us ask"
        }
        symbols = {str(one.dataset.symbol) for one in connection.wanted}
        assert {piece.symbol for piece in connection.pieces} == symbols
