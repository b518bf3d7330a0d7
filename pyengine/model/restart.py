"""Whether, and when, a container starts again by itself (row C80)."""

from __future__ import annotations

FIRST_DELAY = 0.1
"""Seconds before the first of several restarts."""

LONGEST_DELAY = 60.0
"""No restart waits longer, in seconds."""

STEADY_AFTER = 10.0
"""Who ran so many seconds has not failed at once: the next wait is a first one again."""


def next_delay(last: float, ran: float) -> float:
    """Seconds to wait after a run of *ran* seconds; *last* is the wait before it, 0 for none.

    >>> next_delay(0, 1), next_delay(0.1, 1), next_delay(45, 1), next_delay(45, 10)
    (0.1, 0.2, 60.0, 0.1)
    """
    if not last or ran >= STEADY_AFTER:
        return FIRST_DELAY
    return min(last * 2, LONGEST_DELAY)


def starts_again(
    policy: str, most: int, *, exit_code: int, restarts: int, stopped_by_hand: bool
) -> bool:
    """Whether *policy* has a program started again that ended with *exit_code*.

    *most* is how often ``on-failure`` tries, 0 for as often as it takes; *restarts* how often it
    was started again until now. What was stopped by hand stays stopped.

    >>> starts_again("on-failure", 3, exit_code=1, restarts=2, stopped_by_hand=False)
    True
    >>> starts_again("on-failure", 3, exit_code=1, restarts=3, stopped_by_hand=False)
    False
    """
    if stopped_by_hand:
        return False
    if policy == "on-failure":
        return exit_code != 0 and (most == 0 or restarts < most)
    return policy in ("always", "unless-stopped")
