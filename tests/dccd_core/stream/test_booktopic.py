"""When a book of one connection is known: what a message that may be lost leaves of it."""

from dataclasses import replace

from dccd_core.adapter.live import BookChange, Channel, Word
from dccd_core.domain.timespan import SECOND, TimeRange, Us
from dccd_core.stream.booktopic import BookTopic
from dccd_core.stream.claim import NOT_UNDERSTOOD
from dccd_core.stream.compare import Outcome, Snapshot
from dccd_core.stream.wanted import Wanted
from tests.dccd_core.stream.claims import claimed, moment, reasons, seconds
from tests.dccd_core.stream.pushing import BOOK

PLAIN = Channel(docs="")
BEATING = Channel(docs="", beats=Us(15 * SECOND))
SUMMED = Channel(docs="", checksum=lambda _bids, _asks, _precision: 7, checked=1)
BIDS, ASKS = [("10", "1")], [("11", "1")]


def wanted(channel: Channel = PLAIN) -> Wanted:
    return Wanted(BOOK.dataset, BOOK.topic, channel, depth=1, every=SECOND)


def begun(channel: Channel = PLAIN, number: int | None = 1) -> BookTopic:
    """Return a book that was accepted and is whole at 100 s."""
    topic = BookTopic(wanted(channel), seconds(99))
    topic.accept(moment(99))
    whole = BookChange("c", seconds(100), BIDS, ASKS, whole=True, last=number)
    topic.update(whole, seconds(100), moment(100))
    return topic


def hear(topic: BookTopic, at: float, number: int | None = None, checksum: int | None = None) -> None:
    change = BookChange("c", seconds(at), [("10", str(at))], first=number, last=number, checksum=checksum)
    topic.update(change, seconds(at), moment(at))


def spans(topic: BookTopic) -> list[TimeRange]:
    topic.taken()
    return claimed(topic.claim)


def test_it_is_known_from_the_whole_book_to_the_last_change() -> None:
    topic = begun()
    hear(topic, 101.5, 2)
    hear(topic, 103, 3)
    assert [snapshot.at for snapshot in topic.taken()] == [seconds(100), seconds(101), seconds(102)]
    assert spans(topic) == [TimeRange(seconds(100), seconds(103))]
    assert (topic.lost, topic.stands, topic.numbered) == (None, True, True)


def test_a_missing_number_ends_it_where_it_was_known() -> None:
    topic = begun()
    hear(topic, 101, 2)
    hear(topic, 105, 4)
    assert spans(topic) == [TimeRange(seconds(100), seconds(101))]
    assert (reasons(topic.claim), topic.stands) == (["updates 3 to 3 are missing"], False)


def test_what_is_withdrawn_is_said_with_the_end() -> None:
    topic = begun()
    hear(topic, 101, 2)
    topic.taken()
    hear(topic, 110, 3)
    topic.keeper.drift("it drifted")
    topic.taken()
    end = topic.claim.ended
    assert end is not None
    assert (end.at, end.since, end.reason) == (seconds(110), seconds(100), "it drifted")


def test_l12_a_book_that_is_in_doubt_and_has_drifted_is_withdrawn_all_the_same() -> None:
    """Its claim ended with the doubt; what was said before that is wrong, too."""
    topic = begun(SUMMED, number=None)
    hear(topic, 105, checksum=7)
    topic.spoil(NOT_UNDERSTOOD)
    topic.taken()
    topic.claim.taken()
    topic.keeper.drift("it drifted")
    topic.taken()
    [turn] = topic.claim.taken()
    assert (turn.began, turn.reason) == (False, "it drifted")
    assert (turn.since, turn.at) == (seconds(100), seconds(105))


class TestSpoilt:
    def test_a_book_that_nothing_proves_is_lost(self) -> None:
        topic = begun(number=None)
        hear(topic, 101)
        topic.spoil(NOT_UNDERSTOOD)
        assert (topic.proven, topic.lost) == (False, NOT_UNDERSTOOD)
        assert spans(topic) == [TimeRange(seconds(100), seconds(101))]

    def test_a_book_that_numbers_prove_goes_on_if_nothing_was_missing(self) -> None:
        topic = begun()
        topic.spoil(NOT_UNDERSTOOD)
        hear(topic, 105, 2)
        assert spans(topic) == [TimeRange(seconds(100), seconds(105))]

    def test_a_checksum_proves_what_is_not_what_was_before_it(self) -> None:
        """A level that came and went may have been lost: no picture of between counts."""
        topic = begun(SUMMED, number=None)
        hear(topic, 101.5, checksum=7)
        topic.spoil(NOT_UNDERSTOOD)
        hear(topic, 103.5)
        hear(topic, 104.5, checksum=7)
        hear(topic, 106.5, checksum=7)
        assert [snapshot.at for snapshot in topic.taken()] == [seconds(at) for at in (100, 101, 105, 106)]
        assert topic.claim.began == seconds(104.5)
        assert topic.stands

    def test_l1_a_beat_that_is_late_puts_it_in_doubt_until_its_checksum_is_right(self) -> None:
        channel = replace(SUMMED, beats=Us(15 * SECOND))
        topic = begun(channel, None)
        hear(topic, 110, checksum=7)
        hear(topic, 145)
        topic.word(Word("x", seconds(150)), moment(150))
        assert topic.taken() is not None
        assert topic.claim.reached is None
        assert reasons(topic.claim) == ["nothing came for 35 s, not even a heartbeat"]
        hear(topic, 151, checksum=7)
        hear(topic, 153)
        topic.taken()
        assert topic.claim.reached == seconds(153)

    def test_no_word_proves_a_book_of_which_a_change_may_be_lost(self) -> None:
        topic = begun(BEATING)
        hear(topic, 101, 2)
        topic.spoil(NOT_UNDERSTOOD)  # it was change 3
        topic.word(Word("c", seconds(115)), moment(115))
        assert spans(topic) == [TimeRange(seconds(100), seconds(101))]
        hear(topic, 120, 4)
        assert spans(topic) == [TimeRange(seconds(100), seconds(101))]

    def test_a_word_proves_it_again_after_a_change_that_follows(self) -> None:
        topic = begun(BEATING)
        topic.spoil(NOT_UNDERSTOOD)
        hear(topic, 105, 2)
        topic.word(Word("c", seconds(115)), moment(115))
        assert spans(topic) == [TimeRange(seconds(100), seconds(115))]

    def test_a_change_without_a_proof_of_its_own_settles_nothing(self) -> None:
        topic = begun(BEATING)
        topic.spoil(NOT_UNDERSTOOD)
        hear(topic, 105)
        topic.word(Word("c", seconds(115)), moment(115))
        assert spans(topic) == [TimeRange(seconds(100), seconds(105))]


class TestWords:
    def test_a_word_proves_a_book_that_does_not_move(self) -> None:
        topic = begun(BEATING)
        topic.word(Word("c", seconds(115)), moment(115))
        assert [snapshot.at for snapshot in topic.taken()] == [seconds(at) for at in range(100, 115)]
        assert spans(topic) == [TimeRange(seconds(100), seconds(115))]

    def test_but_not_one_whose_lost_changes_would_not_show(self) -> None:
        topic = begun(BEATING, number=None)
        topic.word(Word("c", seconds(115)), moment(115))
        assert spans(topic) == [TimeRange(seconds(100), seconds(100))][:0]

    def test_nor_one_that_was_given_up(self) -> None:
        topic = begun(BEATING)
        topic.end("gone")
        topic.word(Word("c", seconds(115)), moment(115))
        assert spans(topic) == []
        assert topic.lost == "gone"

    def test_a_heart_that_stops_is_an_end(self) -> None:
        topic = begun(BEATING)
        assert topic.look(moment(165)) is None
        assert topic.look(moment(165.1)) == "nothing came of it for 65 s, not even a heartbeat"
        assert begun().look(moment(1_000)) is None


class TestCompared:
    def test_it_is_due_when_it_is_silent_or_was_not_for_long(self) -> None:
        topic = begun()
        assert topic.question(moment(900)) is None
        assert not topic.compare_due(moment(110))
        assert topic.compare_due(moment(131))
        assert topic.compare(moment(131))
        assert not topic.compare_due(moment(132))
        for at in range(132, 313):
            hear(topic, at, at - 130)
        assert topic.compare_due(moment(311.1))

    def test_l12_what_a_comparison_left_open_is_compared_again_soon_then_ever_later(self) -> None:
        topic = begun()
        at, waits = 280.0, list[float]()
        for number in range(2, 8):
            hear(topic, at, number)
            assert topic.compare(moment(at))
            topic.compared(Outcome.UNKNOWN, moment(at + 3))
            at = self._due(topic, at + 3, number * 1_000)
            waits.append(at)
        assert [round(b - a - 3) for a, b in zip([280.0, *waits], waits, strict=False)] == [
            20,
            40,
            80,
            160,
            180,
            180,
        ]
        topic.compared(Outcome.SAME, moment(at))
        assert round(self._due(topic, at, 9_000) - at) == 180
        topic.compared(Outcome.DRIFTED, moment(at))
        assert round(self._due(topic, at, 10_000) - at) == 20

    @staticmethod
    def _due(topic: BookTopic, at: float, number: int) -> float:
        """Return when it is to be compared next, while its market goes on."""
        del number
        while not topic.compare_due(moment(at)):
            at += 0.5
            topic.pace.beat(seconds(at))
        return at

    def test_one_that_is_lost_or_not_agreed_to_is_not_due(self) -> None:
        topic = BookTopic(wanted(), seconds(99))
        assert not topic.compare_due(moment(900))
        topic.accept(moment(100))
        assert not topic.compare_due(moment(900))
        assert not topic.compare(moment(900))

    def test_a_silent_book_that_differs_keeps_what_was_known(self) -> None:
        topic = begun()
        hear(topic, 101, 2)
        topic.taken()
        topic.compare(moment(140))
        snapshot = Snapshot(BookChange("c", None, [("10", "7")], ASKS, whole=True), depth=100)
        verdict = topic.keeper.compared(snapshot, seconds(143), late=True, silent=True)
        assert verdict.outcome is Outcome.DRIFTED
        assert spans(topic) == [TimeRange(seconds(100), seconds(101))]
        assert topic.claim.ended is not None
        assert topic.claim.ended.since is None
