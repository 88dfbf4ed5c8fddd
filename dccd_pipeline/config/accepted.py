"""Known irregularities of a venue, as a human accepts them in ``dccd.yaml``."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, Field

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import TimeRange, Us, parse_time
from dccd_core.exchanges import get
from dccd_core.lake.partition.ledger import Accepted
from dccd_pipeline.config.fields import Strict


def _known(text: str) -> str:
    dataset = Dataset.parse(text)
    get(dataset.exchange)
    return str(dataset)


def _moment(text: str) -> str:
    parse_time(text)
    return text


class AcceptedGap(Strict):
    """What is missing or refused in a span of time of a dataset, and taken as it is."""

    dataset: Annotated[str, AfterValidator(_known)] = Field(examples=["binance/ohlc/BTC-USDT/1h"])
    """Its name, as ``dccd inventory`` prints it."""

    start: Annotated[str, AfterValidator(_moment)] = Field(examples=["2018-02-08"])
    """From when on, UTC."""

    end: Annotated[str, AfterValidator(_moment)] = Field(examples=["2018-02-12"])
    """Until when: the first moment that is not meant any more."""

    why: str = Field(min_length=1, examples=["bars off the grid after an outage"])
    """What is known of it. It is shown wherever the gap is."""

    @property
    def span(self) -> TimeRange:
        return TimeRange(parse_time(self.start), parse_time(self.end))


def by_dataset(gaps: Iterable[tuple[str, int, int, str]]) -> dict[str, list[Accepted]]:
    """Sort what is accepted (dataset, start, end, why) by the name of its dataset."""
    found: dict[str, list[Accepted]] = {}
    for name, start, end, why in gaps:
        found.setdefault(name, []).append(Accepted(TimeRange(Us(start), Us(end)), why))
    return found
