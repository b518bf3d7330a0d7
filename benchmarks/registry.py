"""Debian's docker-registry on loopback, for as long as a figure takes."""

from __future__ import annotations

import http.client
import json
import select
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from attrs import frozen

from benchmarks.big_image import BigImage


def find_registry() -> str | None:
    """Its path; ``None``, having said so, if it is not installed."""
    path = shutil.which("docker-registry")
    if path is None:
        print("no registry here: apt-get install -y docker-registry", file=sys.stderr)
    return path


@frozen
class Registry:
    """Where it listens, ``127.0.0.1:PORT``."""

    host: str

    def put(self, repository: str, tag: str, image: BigImage) -> str:
        """Store *image*; its reference."""
        for blob in image.blobs:
            self._put_blob(repository, blob)
        media_type = json.loads(image.manifest)["mediaType"]
        self._ask(
            "PUT", f"/v2/{repository}/manifests/{tag}", image.manifest, {"Content-Type": media_type}
        )
        return f"{self.host}/{repository}:{tag}"

    def _put_blob(self, repository: str, blob: Path) -> None:
        where = self._ask("POST", f"/v2/{repository}/blobs/uploads/", b"", {})
        found = urlsplit(where)
        query = f"{found.query}&digest=sha256:{blob.name}"
        with blob.open("rb") as file:
            length = {"Content-Length": str(blob.stat().st_size)}
            self._ask("PUT", f"{found.path}?{query}", file, length)

    def _ask(self, method: str, path: str, body: object, headers: dict[str, str]) -> str:
        connection = http.client.HTTPConnection(self.host)
        try:
            connection.request(method, path, body, headers)  # type: ignore[arg-type]
            answer = connection.getresponse()
            said = answer.read()
            if answer.status not in (201, 202):
                raise RuntimeError(f"{method} {path}: {answer.status} {said[:200]!r}")
            return answer.getheader("Location") or ""
        finally:
            connection.close()


@contextmanager
def registry(directory: Path) -> Iterator[Registry]:
    """One with its blobs in *directory*."""
    directory.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    config = directory / "config.yml"
    config.write_text(
        json.dumps(
            {
                "version": 0.1,
                "log": {"level": "info", "accesslog": {"disabled": True}},
                "storage": {"filesystem": {"rootdirectory": str(directory / "store")}},
                "http": {"addr": host},
            }
        )
    )
    command = [shutil.which("docker-registry") or "docker-registry", "serve", str(config)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        assert process.stderr is not None
        _await(process.stderr, b"listening on")
        yield Registry(host)
    finally:
        process.terminate()
        process.communicate()


def _await(stream: object, wanted: bytes) -> None:
    said = b""
    while wanted not in said:
        select.select([stream], [], [], 30)
        more = stream.read1(4096)  # type: ignore[attr-defined]
        if not more:
            raise RuntimeError(f"docker-registry ended: {said[-300:]!r}")
        said += more
