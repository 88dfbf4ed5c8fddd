from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError

from dccd_core.domain.symbol import Symbol
from dccd_pipeline.config.fields import SymbolLife


def test_a_life_is_what_somebody_knows_of_it() -> None:
    life = SymbolLife.model_validate(
        {"listed": "2019-04-26", "delisted": date(2024, 9, 10), "renamed_to": "POL/USDT"}
    )
    assert (life.listed, life.delisted) == (date(2019, 4, 26), date(2024, 9, 10))
    assert life.renamed_to == Symbol("POL", "USDT")
    assert life.hint == "it is called POL/USDT now"
    assert SymbolLife().hint == ""


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"listed": "2024-13-01"}, "'2024-13-01' is no day -> write it like 2024-01-01"),
        ({"renamed_to": "POLUSDT"}, "symbol 'POLUSDT' is not in unified notation -> write POL/USDT"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(raw: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as e:
        SymbolLife.model_validate(raw)
    (mistake,) = e.value.errors()
    assert str(mistake.get("ctx", {})["error"]) == said
