from io import BytesIO

import pytest

from dccd_core.keep.portion import Halted, Portion, whole_lines


def test_no_more_than_its_size_is_read_and_rereading_counts_once() -> None:
    told = list[int]()
    portion = Portion(BytesIO(b"0123456789"), 6, lambda: False, told.append)
    assert (portion.read(4), portion.read(), portion.read(1)) == (b"0123", b"45", b"")
    portion.seek(0)
    assert (portion.read(), portion.tell()) == (b"012345", 6)
    assert told == [4, 2]
    assert (portion.seek(-2, 2), portion.read(9), portion.seek(99)) == (4, b"45", 6)
    assert b"".join(portion.blocks()) == b"012345"
    assert portion.readable()
    assert portion.seekable()


def test_who_is_told_to_stop_stops_at_any_use() -> None:
    portion = Portion(BytesIO(b"0123456789"), 6, lambda: True)
    for use in (portion.read, portion.tell, lambda: portion.seek(0)):
        with pytest.raises(Halted):
            use()


@pytest.mark.parametrize(
    ("text", "whole"),
    [(b"", 0), (b"a", 0), (b"a\n", 2), (b"a\nb", 2), (b"a\n" + b"x" * 200_000, 2), (b"x" * 200_000, 0)],
    ids=["nothing", "half", "whole", "whole and half", "a long half", "only a long half"],
)
def test_lines_are_whole_or_left_out(text: bytes, whole: int) -> None:
    assert whole_lines(BytesIO(text)) == whole
