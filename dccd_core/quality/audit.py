"""Read a stored partition again and say whether it keeps its promises. Pure: rows in, findings out."""

from dataclasses import dataclass, field
from typing import Final

import polars as pl

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.datatype import TABLES
from dccd_core.domain.timespan import Ns, iso
from dccd_core.lake.lake import State
from dccd_core.quality.sanity import faults

SCHEMA: Final = "schema"
ORDER: Final = "order_and_uniqueness"
SANITY: Final = "sanity"
FINAL: Final = "final_bars"
COMPLETE: Final = "completeness"


@dataclass(slots=True)
class Audit:
    """Sees the rows of one partition once, in stored order; ``found`` lists what is wrong, by check."""

    dataset: Dataset
    found: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    _last: Ns | None = None
    rows: int = 0

    def see(self, rows: pl.DataFrame) -> None:
        table = TABLES[self.dataset.data_type]
        if rows.schema != table.schema:
            self._note(SCHEMA, f"columns are {rows.schema}, not {table.schema}")
            return
        self.rows += rows.height
        wrong = rows.select(
            pl.when(holds.fill_null(value=False)).then(1).otherwise(0).sum().alias(reason)
            for reason, holds in faults(self.dataset.data_type, self.dataset.span).items()
        )
        for reason, count in wrong.row(0, named=True).items() if rows.height else ():
            if count:
                self._note(SCHEMA if reason.endswith("is missing") else SANITY, f"{count} rows: {reason}")
        self._see_order(rows)

    def _see_order(self, rows: pl.DataFrame) -> None:
        times = rows["ts"].to_physical()
        early = self._last is not None and rows.height > 0 and int(times[0]) < self._last
        if early or not times.is_sorted():
            self._note(ORDER, "rows are not in the order of time")
        key = [name for name in TABLES[self.dataset.data_type].key if rows[name].null_count() == 0]
        twice = int(rows.select({"ts", *key}).is_duplicated().sum()) if key else 0
        if twice:
            self._note(ORDER, f"{twice} rows share one {' and '.join(key)}")
        self._last = Ns(int(times[-1])) if rows.height else self._last

    def judge_state(self, state: State, settle: Ns) -> None:
        """Hold the ledger against the rows: nothing unfinished stored, nothing in quarantine forgotten."""
        ledger, bar = state.ledger, self.dataset.span
        if state.rows != self.rows:
            self._note(SCHEMA, f"the footer says {state.rows} rows, there are {self.rows}")
        if ledger.quarantined:
            self._note(SANITY, f"{ledger.quarantined} rows are in quarantine")
        asked = max((asked.at for asked in ledger.asked), default=Ns(0))
        if bar and state.last is not None and state.last + bar + settle > asked:
            self._note(FINAL, f"the bar of {iso(state.last)} was stored before it was final")

    def _note(self, check: str, text: str) -> None:
        self.found.setdefault(check, []).append(text)
