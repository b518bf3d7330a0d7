"""A repository of a registry, read: manifests, blobs, tags, referrers (OCI distribution 1.1)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from urllib.parse import quote

from attrs import frozen

from pyengine.errors import (
    DigestMismatch,
    ImageNotFound,
    InvalidRequest,
    RateLimited,
    RegistryError,
    RegistryUnavailable,
    Unauthorized,
)
from pyengine.images.endpoints import Endpoint, endpoints_of
from pyengine.images.servers import Means, Server, may_be_over
from pyengine.images.urls import Url
from pyengine.images.wire import Reply, WireError
from pyengine.model import digests
from pyengine.model.media_types import ACCEPT, SCHEMA_1

T = TypeVar("T")
OnRetry = Callable[[str], object]

# what is no image is asked for last, to be told apart from what is not there
ACCEPTED = ", ".join((*ACCEPT, *(f"{one};q=0.1" for one in sorted(SCHEMA_1)), "*/*;q=0.05"))
_MUCH = 1 << 20  # bytes after which a blob that breaks off has made progress
_MOST_TAGS = 100_000
_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")


@frozen
class Found:
    """A manifest or an index as it came, verified: *digest* is that of *data*."""

    data: bytes
    media_type: str
    digest: str


class Repository:
    """The repository *name* (``library/alpine``) of *registry* (``docker.io``).

    Mirrors are asked first, and the registry itself for what they do not have. Threads share it.
    Use it in a ``with``, which closes its connections.

    >>> with Repository("docker.io", "library/alpine", Means()) as repository:  # doctest: +SKIP
    ...     found = repository.manifest("3")
    """

    def __init__(self, registry: str, name: str, means: Means, *, push: bool = False) -> None:
        self.registry, self.name, self.means = registry, name, means
        self.image = f"{registry}/{name}"
        self.scopes: tuple[str, ...] = (f"repository:{name}:pull{',push' if push else ''}",)
        found = endpoints_of(registry, means.settings, push=push)
        hosts = _by_server(found)
        self.servers = [Server(tuple(group), means) for group in hosts]
        self._failed: set[Server] = set()

    def __enter__(self) -> Repository:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def stop(self) -> None:
        """End whatever is under way, and let nothing begin. Any thread may call it."""
        self.means.stopping.set()
        for server in self.servers:
            server.stop()

    def close(self) -> None:
        """Close the connections."""
        for server in self.servers:
            server.close()

    @property
    def server(self) -> Server:
        """The registry itself."""
        return self.servers[-1]

    def manifest(self, reference: str, on_retry: OnRetry | None = None) -> Found:
        """The manifest, or index, of a tag or digest.

        Raises `ImageNotFound`, `Unauthorized`, `DigestMismatch`, `RegistryError` and its others.
        """
        return self._asked(
            f"get the manifest of {reference}",
            lambda server: self._manifest(server, reference),
            on_retry,
        )

    def digest_of(self, tag: str, on_retry: OnRetry | None = None) -> str:
        """The digest that *tag* stands for now, if a server tells it without its manifest.

        "" where it does not. Docker Hub does not count this as a pull.
        """

        def ask(server: Server) -> str:
            with self._open(server, "HEAD", f"manifests/{tag}", Accept=ACCEPTED) as reply:
                if reply.status in (400, 405, 501):
                    return ""
                self._expect(server, reply, (200,), f"ask for {tag}", tag)
                return _digest_header(reply)

        return self._asked(f"ask for {tag}", ask, on_retry)

    def tags(self) -> tuple[str, ...]:
        """Every tag, in the registry's order. Raises as `manifest` does."""
        return self._asked("list the tags", self._tags)

    def referrers(self, digest: str) -> bytes:
        """The index of what refers to *digest*: signatures, attestations.

        Registries that know nothing of it keep it under the tag ``sha256-HEX`` (row I42).
        """
        digests.check(digest)

        def ask(server: Server) -> bytes:
            with self._open(server, "GET", f"referrers/{digest}", Accept=ACCEPTED) as reply:
                if reply.status == 200 and "json" in reply.headers.get("Content-Type", ""):
                    return reply.read(self.means.limits.manifest_bytes)
                if reply.status not in (200, 400, 404, 405):
                    raise server.refusal(reply, "list the referrers", self.image, digest)
            try:
                return self._manifest(server, digest.replace(":", "-")).data
            except ImageNotFound:
                return b'{"schemaVersion":2,"manifests":[]}'

        return self._asked("list the referrers", ask)

    def blob(
        self,
        digest: str,
        size: int,
        start: int = 0,
        on_retry: OnRetry | None = None,
        urls: tuple[str, ...] = (),
    ) -> Iterator[bytes]:
        """The bytes of a blob from *start* on, as they come; who takes them verifies them.

        What breaks off is taken up again where it did. *urls* are asked where the registry has
        no such blob, if `Means` allows foreign layers. Raises `RegistryError` and its others.
        """
        doing = "get the blob"
        servers = self._in_order()
        persistence = servers[0].persistence(f"getting blob {digest}", on_retry)
        at = since = start
        while True:
            server = servers[0]
            try:
                for data in self._blob(server, digest, size, at, urls):
                    at += len(data)
                    yield data
                if at >= size:
                    return
                raise WireError(f"it ended after {at} of {size} bytes")
            except WireError as wrong:
                error = server.failure(wrong, doing, self.image, digest)
            except RegistryError as wrong:
                error = wrong
                error.image, error.digest = error.image or self.image, error.digest or digest
            self.means.check(f"pulling {self.image}")
            if len(servers) > 1:
                self._failed.add(servers.pop(0))
                continue
            if not isinstance(error, RegistryUnavailable | RateLimited):
                raise error
            if at - since >= _MUCH:
                persistence.went_on()
            since = at
            persistence.failed(error)

    def _in_order(self) -> list[Server]:
        return [one for one in self.servers if one not in self._failed] or [self.server]

    def _asked(self, doing: str, work: Callable[[Server], T], on_retry: OnRetry | None = None) -> T:
        for server in self._in_order()[:-1]:
            try:
                return self.once(server, doing, work)
            except RegistryUnavailable:
                self._failed.add(server)
            except (RegistryError, ImageNotFound):
                pass  # what a mirror does not have, the registry may
        return self.tried(self.server, doing, work, on_retry)

    def once(self, server: Server, doing: str, work: Callable[[Server], T]) -> T:
        """What *work* returns; what the wire says becomes an error that says *doing*."""
        try:
            return work(server)
        except WireError as error:
            server.means.check(f"{doing} ({self.image})")
            raise server.failure(error, doing, self.image) from None
        except RegistryError as error:
            error.image = error.image or self.image
            raise

    def tried(
        self,
        server: Server,
        doing: str,
        work: Callable[[Server], T],
        on_retry: OnRetry | None = None,
    ) -> T:
        """As `once`, but again and again where that may help."""
        persistence = server.persistence(f"{doing} ({self.image})", on_retry)
        while True:
            try:
                return self.once(server, doing, work)
            except (RegistryUnavailable, RateLimited, DigestMismatch) as error:
                persistence.failed(error)

    def _open(self, server: Server, method: str, what: str, **headers: str) -> Reply:
        return server.open(method, f"/v2/{self.name}/{what}", self.scopes, headers)

    def _expect(
        self, server: Server, reply: Reply, wanted: tuple[int, ...], doing: str, reference: str
    ) -> None:
        if reply.status in wanted:
            return
        if reply.status == 404 and not reply.was_redirected:
            mark = "@" if ":" in reference else ":"
            words = reply.words()
            what = "the repository" if b"NAME_UNKNOWN" in words else "the manifest"
            hint = f"{server.host} does not have {what}"
            raise ImageNotFound(f"{self.image}{mark}{reference}", hint)
        error = server.refusal(reply, doing, self.image)
        if isinstance(error, Unauthorized):
            error.why = f"pull access denied: {error.why}"
            error.remedy = f"it does not exist, or may require: pyengine login {self.registry}"
        raise error

    def _manifest(self, server: Server, reference: str) -> Found:
        doing = f"get the manifest of {reference}"
        most = self.means.limits.manifest_bytes
        with self._open(server, "GET", f"manifests/{reference}", Accept=ACCEPTED) as reply:
            self._expect(server, reply, (200,), doing, reference)
            try:
                data = reply.read(most)
            except WireError as error:
                if "more than it should" in error.why:
                    why = f"{doing}: it is larger than {most} bytes"
                    raise RegistryError(server.host, why, self.image) from None
                raise
            said = _digest_header(reply)
        digest = reference if ":" in reference else said or digests.of(data)
        for wanted in {digest, said} - {""}:
            if not digests.verify(data, wanted):
                why = f"{doing}: what came is not {wanted}"
                raise DigestMismatch(server.host, why, self.image, wanted)
        media_type = reply.headers.get("Content-Type", "").partition(";")[0].strip()
        return Found(data, media_type, digest)

    def _tags(self, server: Server) -> tuple[str, ...]:
        found: dict[str, None] = {}
        page: str | Url = f"/v2/{self.name}/tags/list?n=1000"
        while True:
            with server.open("GET", page, self.scopes) as reply:
                self._expect(server, reply, (200,), "list the tags", "")
                before = len(found)
                found |= dict.fromkeys(self._tags_in(reply.read(self.means.limits.manifest_bytes)))
                link = re.search(r'<([^>]*)>\s*;\s*rel="?next"?', reply.headers.get("Link", ""))
            if link is None or len(found) == before:
                return tuple(found)
            if len(found) > _MOST_TAGS:
                raise RegistryError(server.host, f"it has more than {_MOST_TAGS} tags", self.image)
            page = server.checked(link[1], server.place(page) if isinstance(page, str) else page)

    def _tags_in(self, data: bytes) -> list[str]:
        try:
            said: Any = json.loads(data)
            tags = said.get("tags") or []
        except (ValueError, AttributeError, RecursionError):
            tags = None
        if not isinstance(tags, list) or not all(isinstance(one, str) for one in tags):
            raise RegistryError(self.registry, "its list of tags is none", self.image)
        return [one for one in tags if re.fullmatch(r"\w[\w.-]{0,127}", one, re.ASCII)]

    def _blob(
        self, server: Server, digest: str, size: int, start: int, urls: tuple[str, ...]
    ) -> Iterator[bytes]:
        target = f"/v2/{self.name}/blobs/{digest}"
        ranged = {"Range": f"bytes={start}-"} if start else {}
        reply = server.open("GET", target, self.scopes, ranged)
        if reply.status == 416 or (reply.status == 206 and not _is_range(reply, start, size)):
            reply.close()  # its idea of ranges is another one: all of it, then
            reply = server.open("GET", target, self.scopes)
        if reply.status == 404 and urls and self.means.foreign_layers:
            reply.close()
            reply = server.open_elsewhere(urls[0], ranged)
        with reply:
            self._check_blob(server, reply, digest, size, bool(urls))
            passed = start if reply.status == 206 else 0
            for data in reply.pieces(size - passed):
                skipped = min(max(start - passed, 0), len(data))
                passed += len(data)
                if skipped < len(data):
                    yield data[skipped:] if skipped else data

    def _check_blob(
        self, server: Server, reply: Reply, digest: str, size: int, is_foreign: bool
    ) -> None:
        doing = "get the blob"
        if reply.status not in (200, 206):
            if reply.status == 404 and not reply.was_redirected:
                why = "it does not have the blob that its manifest names"
                remedy = "have the image pushed again"
                if is_foreign:
                    remedy = "allow foreign layers if you trust where they come from"
                raise RegistryError(server.host, why, self.image, digest, remedy)
            error = server.refusal(reply, doing, self.image, digest)
            if reply.was_redirected and not may_be_over(reply.status):
                # a signature that has expired meanwhile: the registry gives another
                raise RegistryUnavailable(error.registry, error.why, self.image, digest)
            raise error
        length = reply.headers.get("Content-Length", "")
        if reply.status == 200 and length.isdigit() and int(length) != size:
            why = f"{doing}: it has {length} bytes, and its manifest says {size}"
            raise DigestMismatch(server.host, why, self.image, digest)


def _by_server(endpoints: tuple[Endpoint, ...]) -> list[list[Endpoint]]:
    found: list[list[Endpoint]] = []
    for one in endpoints:
        if found and not one.is_mirror and not found[-1][0].is_mirror:
            found[-1].append(one)  # the same host, by http
        else:
            found.append([one])
    return found


def _is_range(reply: Reply, start: int, size: int) -> bool:
    found = _RANGE.fullmatch(reply.headers.get("Content-Range", "").strip())
    if found is None or not start:
        return False
    return int(found[1]) == start and found[3] in ("*", str(size))


def _digest_header(reply: Reply) -> str:
    said = reply.headers.get("Docker-Content-Digest", "").strip()
    try:
        return digests.check(said) if said else ""
    except InvalidRequest:
        return ""


def quoted(text: str) -> str:
    """*text* as a value in a query."""
    return quote(text, safe="")
