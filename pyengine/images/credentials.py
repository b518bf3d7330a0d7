"""Who we are to registries: docker's config files, its environment, its helpers."""

from __future__ import annotations

import binascii
import json
import os
import re
import stat
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from attrs import field, frozen

from pyengine.errors import InvalidRequest, NotPermitted, StoreError
from pyengine.images.endpoints import credentials_key
from pyengine.images.helpers import Helper
from pyengine.images.secret import Secret

_LARGEST = 4 << 20  # bytes of a config file
_FILE = "docker config file"
_TOKEN_USER = "<token>"  # what helpers say instead of a user name


@frozen
class Credentials:
    """What a registry is shown. Nothing of it is in its `repr` but the user's name.

    An *identity_token* stands for user and password at a token server; a *registry_token* is
    shown to the registry as it is.
    """

    username: str = ""
    password: str = field(default="", converter=Secret)
    identity_token: str = field(default="", converter=Secret)
    registry_token: str = field(default="", converter=Secret)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show: we are anybody."""
        return not (self.username or self.identity_token or self.registry_token)

    @property
    def basic(self) -> Secret:
        """The value of an ``Authorization`` header."""
        return Secret("Basic " + _pair(self.username, self.password))


ANYBODY = Credentials()


class CredentialStore:
    """The credentials of a user, where docker keeps them (row I14).

    *path* is the file, or ``DOCKER_CONFIG``'s, or ``~/.docker/config.json``. What
    ``DOCKER_AUTH_CONFIG`` holds comes before it, and is never written.
    """

    def __init__(
        self, path: str | os.PathLike[str] | None = None, environ: Mapping[str, str] | None = None
    ) -> None:
        self._environ = os.environ if environ is None else environ
        self.path = os.path.abspath(os.path.expanduser(path)) if path else self._usual_path()

    def _usual_path(self) -> str:
        directory = self._environ.get("DOCKER_CONFIG", "")
        if not directory:
            home = self._environ.get("HOME", "") or os.path.expanduser(f"~{_own_name()}")
            directory = f"{home}/.docker"
        return os.path.abspath(f"{directory}/config.json")

    def get(self, registry: str) -> Credentials:
        """What is known for *registry* (``docker.io``, ``host:port``); `ANYBODY` if nothing.

        Raises `InvalidRequest` for a file that cannot be read, `RegistryError` where a helper
        fails.
        """
        key = credentials_key(registry)
        said = self._environ.get("DOCKER_AUTH_CONFIG", "")
        if said:
            config = _parsed(said.encode(errors="replace"), "DOCKER_AUTH_CONFIG")
            found = _entry(_table(config, "auths"), key)
            if not found.is_empty:
                return found
        config = self._read()
        helper = _helper_of(config, key, self._environ)
        if helper is None:
            return _entry(_table(config, "auths"), key)
        given = helper.get(key)
        if given is None:
            return ANYBODY
        if given.username == _TOKEN_USER:
            return Credentials(identity_token=given.secret)
        return Credentials(given.username, given.secret)

    def store(self, registry: str, credentials: Credentials) -> None:
        """Keep *credentials* for *registry*: by a helper if one is configured, or in the file.

        Whatever else the file holds stays as it is; who reads sees the old one or the new one.
        """
        key = credentials_key(registry)
        with self._changing() as config:
            auths = _table(config, "auths")
            helper = _helper_of(config, key, self._environ)
            for same in [one for one in auths if _is_same(one, key)]:
                del auths[same]
            if helper is not None:
                user = _TOKEN_USER if credentials.identity_token else credentials.username
                helper.store(key, user, credentials.identity_token or credentials.password)
                auths[key] = {}  # as docker notes for whom the helper has something
            else:
                auths[key] = _written(credentials)
            config["auths"] = auths

    def erase(self, registry: str) -> bool:
        """Forget what is kept for *registry*; whether there was anything."""
        key = credentials_key(registry)
        with self._changing() as config:
            helper = _helper_of(config, key, self._environ)
            known = helper is not None and helper.erase(key)
            auths = _table(config, "auths")
            same = [one for one in auths if _is_same(one, key)]
            for one in same:
                del auths[one]
            if same:
                config["auths"] = auths
        return known or bool(same)

    def _read(self) -> dict[str, Any]:
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except PermissionError:
            raise NotPermitted(f"read {self.path}", remedy="name another with DOCKER_CONFIG") from (
                None
            )
        with open(fd, "rb") as file:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode) or found.st_size > _LARGEST:
                why = "it is no regular file, or too large"
                raise InvalidRequest(_FILE, self.path, why=why)
            return _parsed(file.read(_LARGEST), self.path)

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Any]]:
        """The file's value, to be changed; written as a whole if it was. One at a time."""
        import fcntl

        path = os.path.realpath(self.path)  # a link to somewhere stays a link
        directory = os.path.dirname(path)
        try:
            os.makedirs(directory, 0o700, exist_ok=True)
            lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                config = self._read()
                before = json.dumps(config)
                yield config
                if json.dumps(config) != before:
                    _replace(path, config, lock)
            finally:
                os.close(lock)
        except OSError as error:
            raise StoreError(path, error.strerror or str(error)) from None


def _replace(path: str, config: dict[str, Any], directory_fd: int) -> None:
    data = json.dumps(config, indent="\t").encode() + b"\n"
    staged = f"{path}.{os.getpid()}-{os.urandom(6).hex()}"
    fd = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
        _keep_owner(path, staged)
        os.rename(staged, path)
    except BaseException:
        os.unlink(staged)
        raise
    os.fsync(directory_fd)


def _keep_owner(path: str, staged: str) -> None:
    """Under sudo the user's file stays the user's."""
    if os.geteuid() == 0 and os.path.exists(path):
        found = os.stat(path)
        os.chown(staged, found.st_uid, found.st_gid)


def _own_name() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return ""


def _parsed(data: bytes, path: str) -> dict[str, Any]:
    try:
        config = json.loads(data) if data.strip() else {}
    except (ValueError, RecursionError):  # its words quote what stands there: a password maybe
        raise InvalidRequest(_FILE, path, why="it is no JSON") from None
    if not isinstance(config, dict):
        raise InvalidRequest(_FILE, path, why="it is no JSON object")
    return config


def _table(config: dict[str, Any], name: str) -> dict[str, Any]:
    found = config.get(name)
    return found if isinstance(found, dict) else {}


def host_of_key(key: str) -> str:
    """The host of a key: ``https://host/v1/`` is kept by old programs for ``host``."""
    return re.sub(r"^https?://", "", key).partition("/")[0].lower()


def _is_same(stored: str, key: str) -> bool:
    if stored == key:
        return True
    return credentials_key(host_of_key(stored)) == key


def _entry(auths: dict[str, Any], key: str) -> Credentials:
    names = [key, *(one for one in auths if one != key and _is_same(one, key))]
    for name in names:
        entry = auths.get(name)
        if isinstance(entry, dict):
            found = _credentials(entry)
            if not found.is_empty:
                return found
    return ANYBODY


def _credentials(entry: dict[str, Any]) -> Credentials:
    fields = {k: v for k, v in entry.items() if isinstance(v, str) and v}
    username, password = fields.get("username", ""), fields.get("password", "")
    if "auth" in fields:
        try:
            pair = b64decode(fields["auth"], validate=True).decode()
        except (binascii.Error, ValueError):
            pair = ""
        username, _, password = pair.partition(":")
    return Credentials(
        username,
        password.rstrip("\0"),  # old dockers pad it
        fields.get("identitytoken", ""),
        fields.get("registrytoken", ""),
    )


def _pair(username: str, password: str) -> Secret:
    return Secret(b64encode(f"{username}:{password}".encode()).decode())


def _written(credentials: Credentials) -> dict[str, str]:
    entry: dict[str, str] = {}
    if credentials.username:
        password = "" if credentials.identity_token else credentials.password
        entry["auth"] = _pair(credentials.username, password)
    if credentials.identity_token:
        entry["identitytoken"] = str(credentials.identity_token)
    if credentials.registry_token:
        entry["registrytoken"] = str(credentials.registry_token)
    return entry


def _helper_of(config: dict[str, Any], key: str, environ: Mapping[str, str]) -> Helper | None:
    helpers = _table(config, "credHelpers")
    names = [key, host_of_key(key), *(one for one in helpers if _is_same(one, key))]
    for one in names:
        if one in helpers and isinstance(helpers[one], str) and helpers[one]:
            return Helper(helpers[one], environ)
    everywhere = config.get("credsStore")
    return Helper(everywhere, environ) if isinstance(everywhere, str) and everywhere else None
