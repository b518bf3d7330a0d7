"""What happened, as one value, and which of it somebody wants to hear."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import frozen

from pyengine.errors import InvalidRequest

FilterTexts = Mapping[str, "str | Iterable[str]"]
"""Filters as users give them: a value, or several, for each key."""


@frozen
class Event:
    """One thing that happened to one object.

    *type* is ``container``, ``image``, …; *action* Docker's verb (``start``, ``exec_start: sh``,
    ``health_status: healthy``); *attributes* the object's labels, and its ``name``, ``image``.
    *time_ns* are nanoseconds since 1970.
    """

    type: str
    action: str
    actor_id: str
    attributes: Mapping[str, str]
    time_ns: int
    scope: str = "local"

    @property
    def time(self) -> float:
        """Seconds since 1970."""
        return self.time_ns / 1e9

    def to_docker(self, *, legacy: bool = False) -> dict[str, object]:
        """The message of Docker's ``/events`` (row O35).

        *legacy* adds what clients of API versions before 1.52 read: status, id and from.
        """
        message: dict[str, object] = {}
        if legacy and self.type in ("container", "image"):
            message = {"status": self.action, "id": self.actor_id}
            image = self.attributes.get("image", "")
            if self.type == "container" and image:
                message["from"] = image
        message["Type"] = self.type
        message["Action"] = self.action
        message["Actor"] = {"ID": self.actor_id, "Attributes": dict(self.attributes)}
        message["scope"] = self.scope
        message["time"] = self.time_ns // 1_000_000_000
        message["timeNano"] = self.time_ns
        return message

    def to_json(self, *, legacy: bool = False) -> str:
        """`to_docker` as one line of text, without the newline."""
        import json

        return json.dumps(self.to_docker(legacy=legacy), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Event:
        """Read back `to_json`. Raises `InvalidRequest` for what is no such message."""
        import json

        try:
            message = json.loads(text)
            actor = message["Actor"]
            words = message["Type"], message["Action"], actor["ID"]
            if not all(isinstance(word, str) for word in (*words, message["scope"])):
                raise TypeError("a word is no text")
            attributes = {str(name): str(value) for name, value in actor["Attributes"].items()}
            return cls(*words, attributes, int(message["timeNano"]), message["scope"])
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            shown = text if isinstance(text, str) else text.decode(errors="replace")
            raise InvalidRequest("event", shown[:200], expected="a message of /events") from error


_NAMES = ("config", "container", "daemon", "network", "node", "plugin", "secret", "service")
_NAMED = frozenset((*_NAMES, "volume"))
_EXACT = frozenset(("event", "image", "label", "scope", "type"))

# an exec's action carries its command line, a health check's its verdict
_OPEN_ENDED = frozenset(("exec_create", "exec_start", "health_status"))


@frozen
class EventFilter:
    """Which events somebody wants: values of one key are alternatives, all keys must agree
    (row O39); only of labels every one must be there.
    """

    wanted: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @classmethod
    def parse(cls, filters: FilterTexts | None) -> EventFilter:
        """Read ``{"type": "container", "event": ["start", "die"]}``.

        Raises `InvalidRequest` for a key that events do not have.
        """
        wanted = []
        for key, given in (filters or {}).items():
            if key not in _NAMED and key not in _EXACT:
                known = ", ".join(sorted(_NAMED | _EXACT))
                raise InvalidRequest("event filter", key, expected=f"one of {known}")
            # a mapping is docker's wire form: {"start": true}
            values = (given,) if isinstance(given, str) else tuple(given)
            for value in values:
                if not isinstance(value, str):
                    raise InvalidRequest(f"event filter {key}", value, expected="text")
            if values:
                wanted.append((key, values))
        return cls(tuple(wanted))

    def matches(self, event: Event) -> bool:
        """Whether *event* is wanted."""
        return all(_agrees(key, values, event) for key, values in self.wanted)


def _agrees(key: str, values: tuple[str, ...], event: Event) -> bool:
    if key == "event":
        return _is_action(values, event.action)
    if key == "label":
        return all(_has_label(value, event.attributes) for value in values)
    if key == "image":
        return not _names_of_image(event).isdisjoint(values)
    if key == "type":
        return event.type in values
    if key == "scope":
        return event.scope in values
    name = event.attributes.get("name", "")
    return event.actor_id.startswith(values) or name.startswith(values)


def _is_action(values: tuple[str, ...], action: str) -> bool:
    if not _OPEN_ENDED.isdisjoint(values):  # then Docker takes all of them for beginnings
        return action.startswith(values)
    return action in values


def _has_label(wanted: str, attributes: Mapping[str, str]) -> bool:
    name, equals, value = wanted.partition("=")
    return name in attributes and (not equals or attributes[name] == value)


def _names_of_image(event: Event) -> set[str]:
    if event.type == "container":
        names = {event.attributes.get("image", "")}
    else:
        names = {event.actor_id, event.attributes.get("name", "")}
    return names | {_without_tag(name) for name in names}


def _without_tag(image: str) -> str:
    name = image.partition("@")[0]
    head, _, tag = name.rpartition(":")
    return head if head and "/" not in tag else name  # the colon may be that of a port
