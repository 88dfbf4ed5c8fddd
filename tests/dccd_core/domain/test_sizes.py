import pytest

from dccd_core.domain.errors import ConfigError
from dccd_core.domain.sizes import read_size, said_size


@pytest.mark.parametrize(
    ("typed", "size"),
    [
        ("0", 0),
        (7, 7),
        ("512B", 512),
        ("2 kb", 2_000),
        ("1.5MiB", 3 << 19),
        ("20GiB", 20 << 30),
        ("1TB", 10**12),
    ],
)
def test_sizes_as_people_write_them(typed: object, size: int) -> None:
    assert read_size(typed) == size


@pytest.mark.parametrize("typed", ["", "much", "-1", "2 GiBs", "1e3", True, None, "GiB"])
def test_what_is_no_size_is_refused(typed: object) -> None:
    with pytest.raises(ConfigError, match="is no size"):
        read_size(typed)


def test_a_size_is_written_in_the_unit_that_fits() -> None:
    assert [said_size(one) for one in (1023, 1024, 5 << 40)] == ["1023 B", "1.0 KiB", "5.0 TiB"]
