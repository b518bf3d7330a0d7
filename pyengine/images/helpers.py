"""Credential helpers: programs ``docker-credential-NAME`` that keep secrets for others."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping

from attrs import field, frozen

from pyengine.errors import InvalidRequest, RegistryError
from pyengine.images.secret import Secret

TIME = 30.0
"""Seconds that a helper has: some ask a person, or a cloud."""

_MOST = 1 << 20  # bytes of an answer
_NOTHING = "credentials not found"  # in the words of every helper that has none


@frozen
class Given:
    """What a helper has for a registry."""

    username: str
    secret: Secret


@frozen
class _Told:
    code: int
    output: bytes = field(repr=False)
    words: str = field(repr=False)


class Helper:
    """The program ``docker-credential-NAME``, looked for in PATH, run without a shell.

    Raises `InvalidRequest` for a *name* that is none.
    """

    def __init__(self, name: str, environ: Mapping[str, str], timeout: float = TIME) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}", name):
            raise InvalidRequest("credential helper", name, "the end of docker-credential-NAME")
        self._program = f"docker-credential-{name}"
        self._environ = dict(environ)
        self._timeout = timeout

    def get(self, key: str) -> Given | None:
        """What it has for *key*, or `None`. Raises `RegistryError` where it fails."""
        told = self._run("get", key, key)
        if told.code != 0:
            if _NOTHING in told.output.decode(errors="replace") + told.words:
                return None
            raise self._failed(key, told)
        try:
            answer = json.loads(told.output)
            given = Given(str(answer["Username"]), Secret(answer["Secret"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            why = f"{self._program} has answered with something else than credentials"
            raise RegistryError(key, why, remedy=f"run: {self._program} get") from None
        return given if given.secret else None

    def store(self, key: str, username: str, secret: str) -> None:
        """Have it keep *secret*. Raises `RegistryError` where it fails."""
        value = {"ServerURL": key, "Username": username, "Secret": str(secret)}
        told = self._run("store", json.dumps(value), key)
        if told.code != 0:
            raise self._failed(key, told)

    def erase(self, key: str) -> bool:
        """Have it forget *key*; whether it says that it knew it."""
        return self._run("erase", key, key).code == 0

    def _failed(self, key: str, told: _Told) -> RegistryError:
        # what it writes to its output may be the secret; its error output is for people
        said = told.words.strip().splitlines()
        why = f"{self._program} failed with exit code {told.code}"
        remedy = f"run: {self._program} list"
        return RegistryError(key, f"{why}: {said[-1][:200]}" if said else why, remedy=remedy)

    def _run(self, verb: str, given: str, key: str) -> _Told:
        import shutil
        import subprocess

        path = shutil.which(self._program, path=self._environ.get("PATH", os.defpath))
        if path is None:
            why = f"the config file names the credential helper {self._program}: not in PATH"
            raise RegistryError(key, why, remedy="install it, or take it out of the file")
        pipe = subprocess.PIPE
        try:
            process = subprocess.Popen(
                [os.path.abspath(path), verb],
                stdin=pipe, stdout=pipe, stderr=pipe, env=self._environ,
                start_new_session=True,  # or it could take our terminal's interrupt for its own
            )  # fmt: skip
        except OSError as error:
            why = f"{self._program} cannot be run: {error.strerror}"
            raise RegistryError(key, why) from None
        with process:
            try:
                output, words = process.communicate(given.encode(), self._timeout)
            except subprocess.TimeoutExpired:
                _end_all_of(process.pid)
                why = f"{self._program} has not answered within {self._timeout:g} s"
                raise RegistryError(key, why, remedy=f"run: {self._program} list") from None
            except BaseException:
                _end_all_of(process.pid)
                raise
        return _Told(process.returncode, output[:_MOST], words[:_MOST].decode(errors="replace"))


def _end_all_of(group: int) -> None:
    """End a helper that nobody has waited for yet, and whatever it has started."""
    import signal

    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass
