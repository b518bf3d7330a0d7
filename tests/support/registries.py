"""Debian's docker-registry on loopback: plain, with Basic auth, behind tokens, behind TLS."""

from __future__ import annotations

import collections
import contextlib
import hashlib
import http.client
import json
import os
import re
import subprocess
import threading
from base64 import b64encode
from collections.abc import Iterator, Sequence
from pathlib import Path

import trustme

USER, PASSWORD = "ali", "open sesame"
_HTPASSWD = f"{USER}:$2y$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy\n"

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def sha256(data: bytes) -> str:
    """The digest of *data*."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Registry:
    """A running registry: *address* is ``127.0.0.1:PORT``."""

    def __init__(self, address: str, directory: Path, tls: trustme.CA | None, basic: bool) -> None:
        self.address = address
        self.port = int(address.rpartition(":")[2])
        self.directory = directory
        self._tls = tls
        self._basic = basic

    def request(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Ask it by hand, as a test does that does not trust the client."""
        sent = dict(headers or {})
        if self._basic:
            sent["Authorization"] = "Basic " + b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        with contextlib.closing(self._connection()) as connection:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()

    def _connection(self) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        import ssl

        context = ssl.create_default_context()
        self._tls.configure_trust(context)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=20, context=context)

    def put_blob(self, repository: str, data: bytes) -> str:
        """Upload *data*; returns its digest."""
        digest = sha256(data)
        status, headers, _ = self.request("POST", f"/v2/{repository}/blobs/uploads/")
        assert status == 202, status
        place = headers["location"].partition("/v2/")[2]
        status, _, said = self.request("PUT", f"/v2/{place}&digest={digest}", data)
        assert status == 201, said
        return digest

    def put_manifest(self, repository: str, tag: str, value: object) -> str:
        """Upload *value* as JSON under *tag*, with the type that it says it has."""
        data = json.dumps(value).encode()
        kind = value["mediaType"]  # type: ignore[index]
        path = f"/v2/{repository}/manifests/{tag}"
        status, _, said = self.request("PUT", path, data, {"Content-Type": kind})
        assert status == 201, said
        return sha256(data)

    def put_image(
        self, repository: str, tag: str, layers: Sequence[bytes], config: bytes | None = None
    ) -> Image:
        """An image of *layers*, which are sent as they are; the config names them as they are."""
        if config is None:
            config = config_of(layers)
        put = [describe(LAYER, data) for data in layers]
        for data in (*layers, config):
            self.put_blob(repository, data)
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": describe(CONFIG, config),
            "layers": put,
        }
        digest = self.put_manifest(repository, tag, manifest)
        return Image(digest, sha256(config), [one["digest"] for one in put], manifest)

    def tags(self, repository: str) -> list[str]:
        """Every tag of *repository*."""
        _, _, said = self.request("GET", f"/v2/{repository}/tags/list")
        return json.loads(said).get("tags") or []


class Image:
    """What was uploaded: digests, and the manifest's value."""

    def __init__(self, digest: str, config: str, layers: list[str], manifest: dict) -> None:
        self.digest, self.config, self.layers, self.manifest = digest, config, layers, manifest
        self.size = len(json.dumps(manifest))


def describe(kind: str, data: bytes) -> dict[str, object]:
    """The descriptor of *data*."""
    return {"mediaType": kind, "digest": sha256(data), "size": len(data)}


def config_of(layers: Sequence[bytes], architecture: str = "amd64") -> bytes:
    """A config whose layers, unpacked by `gzip`, are *layers*."""
    import gzip

    plain = [gzip.decompress(one) if one[:2] == b"\x1f\x8b" else one for one in layers]
    diff_ids = [sha256(one) for one in plain]
    return json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {"Cmd": ["sh"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }
    ).encode()


@contextlib.contextmanager
def running_registry(
    directory: Path,
    *,
    basic: bool = False,
    token_realm: str = "",
    signers: Path | None = None,
    tls: trustme.CA | None = None,
    clients: Path | None = None,
) -> Iterator[Registry]:
    """A registry that keeps its things in *directory*, and ends with the block.

    *token_realm* and *signers*, the certificates of who signs tokens, make it ask for Bearer
    tokens; *tls* is who vouches for it; *clients* names the certificates that clients need.
    """
    directory.mkdir(parents=True, exist_ok=True)
    config = _config(directory, basic, token_realm, signers, tls, clients)
    path = directory / "config.json"  # JSON is YAML
    path.write_text(json.dumps(config))
    command = ["setpriv", "--pdeathsig", "KILL", "docker-registry", "serve", str(path)]
    environ = {"PATH": os.environ["PATH"], "OTEL_SDK_DISABLED": "true"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
                          text=True, env=environ) as process:  # fmt: skip
        assert process.stderr is not None
        said = collections.deque[str](maxlen=50)
        drain = None
        try:
            address = _address(process.stderr, said)
            drain = threading.Thread(target=said.extend, args=(process.stderr,), daemon=True)
            drain.start()
            yield Registry(address, directory, tls, basic)
        finally:
            process.kill()
            if drain is not None:
                drain.join()


def _address(lines: Iterator[str], said: collections.deque[str]) -> str:
    for line in lines:
        said.append(line)
        found = re.search(r"listening on (127\.0\.0\.1:\d+)", line)
        if found:
            return found[1]
    raise AssertionError("docker-registry did not start:\n" + "".join(said))


def _config(
    directory: Path,
    basic: bool,
    token_realm: str,
    signers: Path | None,
    tls: trustme.CA | None,
    clients: Path | None,
) -> dict[str, object]:
    http_part: dict[str, object] = {"addr": "127.0.0.1:0", "secret": "the tests' own"}
    config: dict[str, object] = {
        "version": "0.1",
        "log": {"level": "info", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(directory / "data")},
            "delete": {"enabled": True},
            "maintenance": {"uploadpurging": {"enabled": False}},
        },
        "http": http_part,
    }
    if basic:
        (directory / "htpasswd").write_text(_HTPASSWD)
        path = str(directory / "htpasswd")
        config["auth"] = {"htpasswd": {"realm": "the tests", "path": path}}
    if token_realm:
        config["auth"] = {
            "token": {
                "realm": token_realm,
                "service": "the registry",
                "issuer": "the tests",
                "rootcertbundle": str(signers),
            }
        }
    if tls is not None:
        server = tls.issue_cert("127.0.0.1", "localhost", "registry.test")
        server.private_key_pem.write_to_path(str(directory / "key.pem"))
        for blob in server.cert_chain_pems:
            blob.write_to_path(str(directory / "cert.pem"), append=True)
        http_part["tls"] = {
            "certificate": str(directory / "cert.pem"),
            "key": str(directory / "key.pem"),
        }
        if clients is not None:
            http_part["tls"]["clientcas"] = [str(clients)]  # type: ignore[index]
    return config
