import pytest

from dccd_core.keep.aside import begun


def test_what_it_comes_to_is_what_the_future_says() -> None:
    assert begun(divmod, 7, 2).result() == (3, 1)
    with pytest.raises(ZeroDivisionError):
        begun(divmod, 7, 0).result()
