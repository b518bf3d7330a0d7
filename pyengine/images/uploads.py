"""Blobs and manifests on their way into a repository of a registry."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Literal

from attrs import define

from pyengine.errors import DigestMismatch, RateLimited, RegistryError, RegistryUnavailable
from pyengine.images.registry import OnRetry, Repository, quoted
from pyengine.images.servers import may_be_over
from pyengine.images.urls import Url
from pyengine.images.wire import Reply, WireError

How = Literal["exists", "mounted", "pushed"]
Read = Callable[[int], Iterator[bytes]]
"""The bytes of a blob from an offset on."""

_SMALL = 1 << 20  # bytes of a blob that is sent with its last request
_OCTETS = {"Content-Type": "application/octet-stream"}


@define
class _Session:
    """An upload under way: where it goes on, and how much of it has arrived."""

    place: Url
    offset: int = 0
    least: int = 0  # bytes of a chunk, in the registry's words


class Uploads:
    """What is put into *repository*, which was opened for pushing.

    *chunk* bytes are sent in one request at most; 0: as many as there are.
    """

    def __init__(self, repository: Repository, *, chunk: int = 0) -> None:
        self._repository = repository
        self._server = repository.server
        self._base = f"/v2/{repository.name}"
        self._chunk = chunk

    def has(self, digest: str) -> bool:
        """Whether the repository has the blob. Raises `RegistryError` and its others."""
        return self._repository.tried(self._server, "ask for a blob", lambda _: self._has(digest))

    def _has(self, digest: str) -> bool:
        target = f"{self._base}/blobs/{digest}"
        with self._server.open("HEAD", target, self._repository.scopes) as reply:
            if may_be_over(reply.status):
                raise self._refusal(reply, "ask for the blob", digest)
            # 401, 403: who may push need not be allowed to see; then it is pushed
            return reply.status == 200

    def blob(
        self,
        digest: str,
        size: int,
        read: Read,
        *,
        sources: tuple[str, ...] = (),
        mounted: Callable[[str], object] = lambda _: None,
        sent: Callable[[int], object] = lambda _: None,
        on_retry: OnRetry | None = None,
    ) -> How:
        """Have the blob there: it is, or comes from one of the repositories *sources*, or is sent.

        *mounted* is told which of them; *sent* how many bytes have arrived. What breaks off goes
        on where the registry says that it did. Raises `RegistryError` and its others.
        """
        if self.has(digest):
            return "exists"
        repository = self._repository
        session: _Session | None = None
        for source in sources:
            session = self._mounted(digest, source)
            if session is None:
                mounted(source)
                return "mounted"
        persistence = self._server.persistence(f"pushing blob {digest}", on_retry)
        while True:
            before = session.offset if session is not None else 0
            error: RegistryError
            try:
                session = session or self._begun(digest)
                self._send(session, digest, size, read, sent)
                return "pushed"
            except WireError as wrong:
                error = self._server.failure(wrong, "push the blob", repository.image, digest)
            except RegistryError as wrong:
                error = wrong
                error.image, error.digest = error.image or repository.image, error.digest or digest
            if not isinstance(error, RegistryUnavailable | RateLimited | DigestMismatch):
                raise error
            persistence.failed(error)
            if self._finished_unheard(digest):
                return "pushed"
            session = None if isinstance(error, DigestMismatch) else self._resumed(session)
            if session is not None and session.offset > before:
                persistence.went_on()

    def _finished_unheard(self, digest: str) -> bool:
        """The answer to the last request may have been what broke off."""
        try:
            return self._has(digest)
        except (WireError, RegistryError):
            return False

    def _mounted(self, digest: str, source: str) -> _Session | None:
        """`None` where it is there now; otherwise where it may be sent."""
        repository = self._repository
        target = f"{self._base}/blobs/uploads/?mount={quoted(digest)}&from={quoted(source)}"
        scopes = (*repository.scopes, f"repository:{source}:pull")

        def ask(_: object) -> _Session | None:
            with self._server.open("POST", target, scopes, body=b"") as reply:
                if reply.status == 201:
                    return None
                if reply.status == 202:
                    return self._session(reply, self._server.place(target))
                if may_be_over(reply.status):
                    raise self._refusal(reply, f"mount a blob of {source}", digest)
            return self._begun(digest)

        return repository.tried(self._server, f"mount a blob of {source}", ask)

    def _begun(self, digest: str) -> _Session:
        target = f"{self._base}/blobs/uploads/"
        with self._server.open("POST", target, self._repository.scopes, body=b"") as reply:
            if reply.status != 202:
                raise self._refusal(reply, "begin to push", digest)
            return self._session(reply, self._server.place(target))

    def _session(self, reply: Reply, base: Url, offset: int = 0) -> _Session:
        least = reply.headers.get("OCI-Chunk-Min-Length", "")
        small = int(least) if re.fullmatch(r"\d{1,12}", least, re.ASCII) else 0
        return _Session(self._location(reply, base), offset, small)

    def _location(self, reply: Reply, base: Url) -> Url:
        """Where the upload goes on: at the same server, in the same repository."""
        said = reply.headers.get("Location", "")
        if not said:
            raise WireError("it does not say where to go on", can_retry=False)
        place = self._server.checked(said, base)
        own = self._server.place(self._base).path
        everybody = own[: -len(self._base)] + "/v2/"
        is_inside = place.path.startswith(f"{own}/") and "/../" not in f"{place.path}/"
        if place.path.startswith(everybody) and not is_inside:
            raise WireError("it sends us to another repository to go on", can_retry=False)
        return place

    def _send(
        self, session: _Session, digest: str, size: int, read: Read, sent: Callable[[int], object]
    ) -> None:
        if size <= _SMALL and not session.offset and not self._chunk:
            data = b"".join(read(0))
            self._finish(session, digest, data)
            sent(size)
            return
        while session.offset < size:
            end = size
            if self._chunk:
                end = min(size, session.offset + max(self._chunk, session.least))
            self._patch(session, digest, end, read, sent, is_whole=end == size and not self._chunk)
        self._finish(session, digest, b"")

    def _patch(
        self,
        session: _Session,
        digest: str,
        end: int,
        read: Read,
        sent: Callable[[int], object],
        *,
        is_whole: bool,
    ) -> None:
        start = session.offset
        headers = {**_OCTETS, "Content-Length": str(end - start)}
        if start or not is_whole:  # some know no ranges: what is sent at once has none
            headers["Content-Range"] = f"{start}-{end - 1}"

        def body() -> Iterator[bytes]:
            at = start
            for data in read(start):
                piece = data[: end - at]
                yield piece
                at += len(piece)
                sent(at)
                if at >= end:
                    return

        reply = self._server.open("PATCH", session.place, self._repository.scopes, headers, body)
        with reply:
            if reply.status not in (200, 201, 202, 204):
                if reply.status == 416:
                    why = "push the blob: it has another part of it than we think"
                    image = self._repository.image
                    raise RegistryUnavailable(self._server.host, why, image, digest)
                raise self._refusal(reply, "push the blob", digest)
            if reply.headers.get("Location"):
                session.place = self._location(reply, session.place)
            session.offset = end
            arrived = _arrived(reply)
            if arrived and arrived < end:
                raise WireError(f"it has taken {arrived} of {end} bytes")

    def _finish(self, session: _Session, digest: str, data: bytes) -> None:
        place = session.place
        mark = "&" if "?" in place.target else "?"
        url = Url.parse(f"{place}{mark}digest={quoted(digest)}")
        headers = {**_OCTETS, "Content-Length": str(len(data))}
        scopes = self._repository.scopes
        with self._server.open("PUT", url, scopes, headers, data) as reply:
            if reply.status not in (201, 204):
                error = self._refusal(reply, "finish to push the blob", digest)
                if "DIGEST_INVALID" in error.why or "SIZE_INVALID" in error.why:
                    raise DigestMismatch(error.registry, error.why, error.image, digest)
                raise error

    def _resumed(self, session: _Session | None) -> _Session | None:
        """Where *session* goes on; `None` where the registry has forgotten it."""
        if session is None:
            return None
        try:
            with self._server.open("GET", session.place, self._repository.scopes) as reply:
                arrived = _arrived(reply)
                if reply.status not in (200, 202, 204) or arrived is None:
                    return None
                if reply.headers.get("Location"):
                    session.place = self._location(reply, session.place)
        except (WireError, RegistryError):
            return None
        session.offset = arrived
        return session

    def manifest(self, reference: str, data: bytes, media_type: str, digest: str) -> None:
        """Put a manifest, or an index, under a tag or its digest; it is *digest* there as well.

        Raises `RegistryError` and its others.
        """
        target = f"{self._base}/manifests/{reference}"
        doing = f"push the manifest {reference}"

        def put(_: object) -> None:
            headers = {"Content-Type": media_type}
            scopes = self._repository.scopes
            with self._server.open("PUT", target, scopes, headers, data) as reply:
                if reply.status not in (200, 201, 202):
                    raise self._refusal(reply, doing, digest)
                said = reply.headers.get("Docker-Content-Digest", "").strip()
            if said and said.startswith(digest.partition(":")[0]) and said != digest:
                why = f"{doing}: it has made {said} of it"
                raise RegistryError(self._server.host, why, self._repository.image, digest)

        self._repository.tried(self._server, doing, put)

    def _refusal(self, reply: Reply, doing: str, digest: str) -> RegistryError:
        return self._server.refusal(reply, doing, self._repository.image, digest)


def _arrived(reply: Reply) -> int | None:
    """How many bytes a ``Range: 0-LAST`` tells of; ``0-0`` may be one byte, or none."""
    found = re.fullmatch(r"(?:bytes=)?0-(\d{1,18})", reply.headers.get("Range", "").strip())
    if found is None:
        return None
    return int(found[1]) + 1 if int(found[1]) else 0
