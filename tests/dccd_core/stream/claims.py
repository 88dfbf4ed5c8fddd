"""Moments for tests whose two clocks show the same, and what a claim said, all in all."""

from dccd_core.domain.timespan import SECOND, TimeRange, Us, union
from dccd_core.stream.claim import Claim, Moment


def seconds(count: float) -> Us:
    return Us(round(count * SECOND))


def moment(at: float) -> Moment:
    """Both clocks show the same."""
    return Moment(seconds(at), seconds(at))


def claimed(claim: Claim) -> list[TimeRange]:
    """Return from when to when it was ever said to be complete, by all turns since it was made."""
    found, began = list[TimeRange](), None
    for turn in claim.turns:
        if turn.began:
            began = turn.at
        elif began is None:
            assert turn.since is not None  # it had ended, and more of it is withdrawn
        else:
            found.append(TimeRange(began, turn.at))
            began = None
    if claim.reached is not None:
        assert began is not None
        found.append(TimeRange(began, claim.reached))
    return union(found)


def reasons(claim: Claim) -> list[str]:
    return [turn.reason for turn in claim.turns if not turn.began]
