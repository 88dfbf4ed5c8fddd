"""How much is asked for again to see that it is right. Asking: dccd_core.bars.reconcile."""

from pydantic import Field

from dccd_pipeline.config.fields import Strict


class Reconcile(Strict):
    """How much of what streams recorded is asked for again by REST each day."""

    requests: int = Field(default=60, strict=True, ge=0, examples=[60])
    """About so many requests a day to each exchange; 0: it is asked for nothing again."""
