"""The keys that let go of a container, found in what is typed."""

from __future__ import annotations

from pyengine.errors import InvalidRequest

DEFAULT_KEYS = "ctrl-p,ctrl-q"

_NAMED = {f"ctrl-{chr(code + 64).lower()}": code for code in range(32)} | {"DEL": 127}
_EXPECTED = "single characters and ctrl-<a to z, @, [, \\, ], ^ or _>, separated by commas"


def parse_keys(text: str) -> bytes:
    """The bytes that a terminal sends for *text*; `InvalidRequest` if there are no such keys.

    >>> parse_keys("ctrl-p,ctrl-q"), parse_keys("ctrl-a,x")
    (b'\\x10\\x11', b'\\x01x')
    """
    found = bytearray()
    for key in text.split(","):
        if key in _NAMED:
            found.append(_NAMED[key])
        elif len(key) == 1 and " " <= key <= "~":
            found.append(ord(key))
        else:
            raise InvalidRequest("detach-keys", text, expected=_EXPECTED)
    return bytes(found)


class KeyWatcher:
    """Looks for *keys* in a stream of bytes, and holds back what may be their beginning.

    >>> watcher = KeyWatcher(b"\\x10\\x11")
    >>> watcher.feed(b"ls\\x10"), watcher.feed(b"x"), watcher.found
    (b'ls', b'\\x10x', False)
    """

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = b""
        self._after = b""
        self.found = False

    def feed(self, data: bytes) -> bytes:
        """What of *data*, and of what was held back, goes on to the program.

        Once the keys were *found* nothing does, until `reset`.
        """
        if self.found:
            self._after += data
            return b""
        data = self._held + data
        at = data.find(self._keys)
        if at >= 0:
            self.found, self._held, self._after = True, b"", data[at + len(self._keys) :]
            return data[:at]
        held = next(n for n in range(len(self._keys) - 1, -1, -1) if data.endswith(self._keys[:n]))
        self._held = self._keys[:held]
        return data[: len(data) - held]

    def reset(self) -> bytes:
        """Look for the keys anew; answers what came after them, to be fed again."""
        after, self._after = self._after, b""
        self.found = False
        return after
