"""The joiners of an engine: one for each way in which its containers have users."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from pyengine.errors import EngineError, Unsupported
from pyengine.linux.native_joiner import Joiner


class Joiners:
    """Made when needed. Root has one; for whom has no rights each is root of other users.

    There are as many users inside as newuidmap gives; where it gives none, there is one. Which
    of both is found out by trying, once. *know_users* hears which user namespace has all of them.
    """

    def __init__(self, know_users: Callable[[int], object] = lambda users: None) -> None:
        self._know_users = know_users
        self._root = Joiner() if os.geteuid() == 0 else None
        self._lock = threading.Lock()
        self._made: dict[str, Joiner] = {}
        self._cause: tuple[str, str] | None = None

    @property
    def cause(self) -> tuple[str, str]:
        """Why there is one user only, and a remedy; nothing where there are more, or all."""
        if self._root is None:
            self.of("")
        return self._cause or ("", "")

    @property
    def why_single(self) -> str:
        """The first of `cause`."""
        return self.cause[0]

    @property
    def usual(self) -> Joiner:
        """That of containers that ask for no users in particular."""
        return self._root or self.of("")

    def of(self, userns: str) -> Joiner:
        """That of containers whose users are those of *userns*, a mode that is not root's.

        Raises `Unsupported` where there can be no such users.
        """
        if self._root is not None:
            return self._root
        mode = "" if userns in ("", "host", "auto") else userns
        with self._lock:
            made = self._made.get(mode)
            if made is None:
                if "" not in self._made:
                    self._made[""], self._cause = _by_trying()
                    if not self._cause[0]:
                        self._know_users(self._made[""].users)
                made = self._made.get(mode) or self._another(mode)
                self._made[mode] = made
        return made

    def _another(self, mode: str) -> Joiner:
        from pyengine.linux.userns import ids_for

        joiner = Joiner(ids_for(mode, why_single=self._cause[0] if self._cause else ""))
        try:
            joiner.open()
        except BaseException:
            joiner.close()
            raise
        return joiner

    def close(self) -> None:
        """End them all, and wait until they are gone."""
        if self._root is not None:
            self._root.close()
        with self._lock:
            made, self._made = self._made, {}
        for joiner in made.values():
            joiner.close()


def _by_trying() -> tuple[Joiner, tuple[str, str]]:
    """The usual one, and why it has one user only."""
    from pyengine.linux.userns import ids_for

    try:
        more = Joiner(ids_for(""))
    except Unsupported as error:
        cause = error.missing, error.remedy
    else:
        try:
            more.open()
            return more, ("", "")
        except EngineError as error:
            more.close()
            cause = _cause_of(error)
        except BaseException:
            more.close()
            raise
    return Joiner(ids_for("", why_single=cause[0])), cause


def _cause_of(error: EngineError) -> tuple[str, str]:
    if isinstance(error, Unsupported):
        return error.missing, error.remedy
    return str(error), "see that /etc/subuid and /etc/subgid give ids that nobody else has"
