"""See the rows of a partition once and say whether it keeps its promises. Pure: rows in, findings out.

They are seen as they are written (``Auditor``), or as they are read again.
"""

from dataclasses import dataclass, field
from typing import Final

import polars as pl

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import Us, iso
from dccd_core.lake.lake import CompletenessCheck, State
from dccd_core.lake.partition.ledger import Ledger
from dccd_core.quality.crossed import CrossedPictures
from dccd_core.quality.sanity import faults
from dccd_core.tables import ascends

SCHEMA: Final = "schema"
ORDER: Final = "order"
SANITY: Final = "sanity"
FINAL: Final = "final"
QUARANTINE: Final = "quarantine"
CROSSED: Final = "crossed"


@dataclass(slots=True)
class Audit:
    """Sees the rows of one partition once, in stored order; ``findings`` lists what is wrong, by promise."""

    dataset: Dataset
    carried_open: bool = False
    findings: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    rows: int = 0
    crossed: CrossedPictures = field(default_factory=CrossedPictures)
    _last: pl.DataFrame | None = None
    """The rows of the last moment seen: the next ones may repeat them."""

    def see(self, rows: pl.DataFrame) -> None:
        table = self.dataset.data_type.table
        if rows.schema != table.schema:
            self._note(SCHEMA, f"columns are {rows.schema}, not {table.schema}")
            return
        self.rows += rows.height
        if not rows.height:
            return
        wrong = rows.select(
            pl.when(holds.fill_null(value=False)).then(1).otherwise(0).sum().alias(reason)
            for reason, holds in self._faults().items()
        )
        for reason, count in wrong.row(0, named=True).items():
            if count:
                self._note(SCHEMA if reason.endswith("is missing") else SANITY, f"{count} rows: {reason}")
        self._see_order(rows)
        if table.two_sided:
            self.crossed.see(rows)

    def _faults(self) -> dict[str, pl.Expr]:
        return faults(self.dataset.data_type, self.dataset.span, carried_open=self.carried_open)

    def _see_order(self, rows: pl.DataFrame) -> None:
        last = rows.clear() if self._last is None else self._last
        rows, table = pl.concat([last, rows]), self.dataset.data_type.table
        by = [pl.col(name) for name in ("ts", *(name for name in table.key if name != "ts"))]
        if not rows.select(ascends(by)).item():  # mostly they do, and that is quickly seen
            if not rows["ts"].is_sorted():
                self._note(ORDER, "rows are not in the order of time")
            if twice := self._repeated(rows) - self._repeated(last):
                self._note(ORDER, f"{twice} rows share one {' and '.join(table.key)}")
        self._last = rows.filter(pl.col("ts") == rows["ts"][-1])

    def _repeated(self, rows: pl.DataFrame) -> int:
        """Count the rows that another one repeats; those without an id may be equal."""
        key = self.dataset.data_type.table.key
        named = rows.drop_nulls(key)
        return int(named.select({"ts", *key}).is_duplicated().sum())

    def judge_state(self, state: State, finality_delay: Us) -> None:
        """Hold the ledger against the rows: nothing unfinished stored, nothing in quarantine forgotten."""
        ledger, bar = state.ledger, self.dataset.span
        self.crossed.finish()
        if (last := self.crossed.last) is not None and self.crossed.first is not None:
            between = f"from {iso(self.crossed.first)} to {iso(last)}"
            self._note(
                CROSSED, f"{self.crossed.count} pictures {between} have a bid that is not below the ask"
            )
        if state.rows != self.rows:
            self._note(SCHEMA, f"the footer says {state.rows} rows, there are {self.rows}")
        if ledger.quarantined:
            self._note(QUARANTINE, said_quarantined(ledger.quarantined))
        asked = max((asked.at for asked in ledger.asked), default=Us(0))
        taken_over = any(one.start <= (state.last or 0) < one.end for one in ledger.imported)
        if bar and state.last is not None and state.last + bar + finality_delay > asked and not taken_over:
            self._note(FINAL, f"the bar of {iso(state.last)} was stored before it was final")

    def _note(self, promise: str, text: str) -> None:
        self.findings.setdefault(promise, []).append(text)


def said_quarantined(rows: int) -> str:
    return f"{rows} rows are in quarantine"


class Auditor:
    """Has the rows of a partition audited while they are written, anew when they are written anew.

    ``audit`` is that of the last time, None as long as nothing was written.
    """

    def __init__(self, dataset: Dataset, *, carried_open: bool = False) -> None:
        self.audit: Audit | None = None
        self._dataset = dataset
        self._carried_open = carried_open

    def beside(self, judge: CompletenessCheck) -> CompletenessCheck:
        """Return a judge that says what ``judge`` does, and has each row audited that it sees."""
        self.audit = Audit(self._dataset, self._carried_open)
        return _Audited(judge, self.audit)


@dataclass(frozen=True, slots=True)
class _Audited:
    judge: CompletenessCheck
    audit: Audit

    def see(self, rows: pl.DataFrame) -> None:
        self.audit.see(rows)
        self.judge.see(rows)

    def assess(self, ledger: Ledger) -> Ledger:
        return self.judge.assess(ledger)
