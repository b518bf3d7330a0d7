"""Hundreds of ways in which an image can be wrong, made from one that is right.

A mutation is what a registry or an archive would hand out: the manifest, and the blobs by the
names they are asked for. All of them have to be refused; nothing of them is allowed to remain.
"""

from __future__ import annotations

import copy
import gzip
import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import evolve, frozen

from pyengine.model import digests
from pyengine.model import media_types as media

GONE = object()
"""Stands for: the field is not there."""


@frozen
class Wrong:
    """An image as it is handed out: *manifest* as *media_type*, *blobs* by digest."""

    name: str
    manifest: bytes
    media_type: str
    blobs: Mapping[str, bytes]


def sample() -> Wrong:
    """An image of three layers with which nothing is wrong: the last hides a file of the first."""
    tars = [
        _tar({"etc/passwd": b"root:x:0:0::/:/bin/sh\n", "bin/sh": b"#!\n" * 500, "gone": b"x"}),
        _tar({"srv/data": bytes(range(256)) * 40}),
        _tar({".wh.gone": b"", "srv/more": b"more"}),
    ]
    packed = [gzip.compress(tars[0], mtime=0), tars[1], gzip.compress(tars[2], mtime=0)]
    kinds = [media.OCI_LAYER_GZIP, media.OCI_LAYER, media.OCI_LAYER_GZIP]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "created": "2024-01-31T10:00:00Z",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"], "WorkingDir": "/srv", "User": "0"},
        "rootfs": {"type": "layers", "diff_ids": [digests.of(tar) for tar in tars]},
        "history": [{"created_by": f"layer {number}"} for number in range(3)],
    }
    data = _json(config)
    manifest = {
        "schemaVersion": 2,
        "mediaType": media.OCI_MANIFEST,
        "config": _descriptor(media.OCI_CONFIG, data),
        "layers": [_descriptor(kind, one) for kind, one in zip(kinds, packed, strict=True)],
    }
    blobs = {digests.of(one): one for one in (data, *packed)}
    return Wrong("nothing", _json(manifest), media.OCI_MANIFEST, blobs)


def mutations(right: Wrong | None = None) -> Iterator[Wrong]:
    """Every mutation of *right* (default: `sample`); each has a name of its own."""
    right = right or sample()
    yield from _of_documents("manifest", right.manifest, right)
    yield from _of_manifest_fields(right)
    yield from _of_descriptors(right)
    yield from _of_config(right)
    yield from _of_blobs(right)
    yield from _of_layers(right)


def _tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _json(plain: Any) -> bytes:
    return json.dumps(plain, separators=(",", ":")).encode()


def _descriptor(media_type: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digests.of(data), "size": len(data)}


def _with(plain: Any, path: tuple[Any, ...], value: Any) -> Any:
    """*plain* with *value* at *path*, or without what stands there."""
    made = copy.deepcopy(plain)
    at = made
    for step in path[:-1]:
        at = at[step]
    if value is GONE:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return made


def _shown(value: Any) -> str:
    return "gone" if value is GONE else json.dumps(value)[:100]


def _documents(data: bytes) -> Iterator[tuple[str, bytes]]:
    """JSON that is none, or that two readers would take for two things."""
    yield "empty", b""
    yield "HTML", b"<!DOCTYPE html><html>404</html>"
    yield "null", b"null"
    yield "a list", b"[" + data + b"]"
    yield "a text", json.dumps(data.decode()).encode()
    yield "cut in the middle", data[: len(data) // 2]
    yield "cut by one", data[:-1]
    yield "followed by more", data + b"x"
    yield "twice", data + data
    yield "with a byte order mark", b"\xef\xbb\xbf" + data
    yield "in UTF-16", data.decode().encode("utf-16")
    yield "not UTF-8", data.replace(b"}", b',"x":"\xff"}', 1)
    yield "half a pair", data.replace(b"}", b',"x":"\\ud800"}', 1)
    yield "NaN", data.replace(b"}", b',"x":NaN}', 1)
    yield "a huge number", data.replace(b"}", b',"x":%s}' % (b"9" * 400), 1)
    yield "a huge exponent", data.replace(b"}", b',"x":1e999}', 1)
    yield "deep", data.replace(b"}", b',"x":%s%s}' % (b"[" * 5000, b"]" * 5000), 1)
    yield "wide", data.replace(b"}", b',"x":[%s0]}' % (b"[]," * 300_000), 1)
    yield "a key twice", data[:-1] + b',"%s":0}' % next(iter(json.loads(data))).encode()
    yield "enormous", data[:-1] + b" " * (9 << 20) + b"}"


def _of_documents(what: str, data: bytes, right: Wrong) -> Iterator[Wrong]:
    for name, made in _documents(data):
        if what == "manifest":
            yield evolve(right, name=f"manifest: {name}", manifest=made)
        else:
            yield _with_config(right, made, f"config: {name}")


_MANIFEST_FIELDS: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("schemaVersion", (GONE, None, 0, 1, 3, -2, "2", 2.5, True, [2], {})),
    (
        "mediaType",
        (
            *(None, 5, [], "x", "application/json", media.OCI_CONFIG, media.OCI_LAYER_GZIP),
            *(media.OCI_INDEX, media.DOCKER_INDEX, media.DOCKER_MANIFEST),
            *sorted(media.SCHEMA_1),
        ),
    ),
    ("config", (GONE, None, 5, "x", [], {}, True)),
    ("layers", (GONE, None, 5, "x", {}, True, [None], [5], ["x"], [[]], [{}])),
    ("annotations", (5, "x", [], True, {"a": 5}, {"a": None}, {"a": []}, {"a": "\0"})),
    ("subject", (5, "x", [], {}, {"mediaType": "a/b"}, {"digest": "sha256:"})),
    ("artifactType", (5, [], {})),
    ("manifests", ([], None, {})),
    ("Layers", ([],)),
    ("LAYERS", ([],)),
    ("Config", ({},)),
    ("con\ufb01g", ({},)),  # a ligature that folds to "fi"
    ("mediatype", (media.OCI_INDEX,)),
    ("SchemaVersion", (1,)),
)


def _of_manifest_fields(right: Wrong) -> Iterator[Wrong]:
    plain = json.loads(right.manifest)
    for name, values in _MANIFEST_FIELDS:
        for value in values:
            made = _json(_with(plain, (name,), value))
            yield evolve(right, name=f"manifest: {name} {_shown(value)}", manifest=made)
    layers = plain["layers"]
    for name, listed in {
        "none": [],
        "one less": layers[:-1],
        "the first missing": layers[1:],
        "one twice": [*layers, layers[-1]],
        "reversed": layers[::-1],
        "two swapped": [layers[1], layers[0], *layers[2:]],
        "the config among them": [*layers[:-1], plain["config"]],
        "far too many": layers * 400,
    }.items():
        made = _json(_with(plain, ("layers",), listed))
        yield evolve(right, name=f"manifest: layers {name}", manifest=made)


def _descriptor_values(plain: dict[str, Any], other: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Fields of a descriptor, and what they must not be."""
    digest, size = plain["digest"], plain["size"]
    digits = digest.removeprefix("sha256:")
    flipped = f"sha256:{digits[:-1]}{'0' if digits[-1] != '0' else '1'}"
    for value in (
        *(GONE, None, 5, "", "x", "a/b/c", "/tar", "text/plain", "application/octet-stream+x"),
        *(media.OCI_INDEX, media.OCI_MANIFEST, media.OCI_EMPTY, other["mediaType"]),
    ):
        yield "mediaType", value
    for value in (
        *(GONE, None, 5, [], "", "sha256", "sha256:", digits, digest[:-1], f"{digest}0"),
        *(f"sha256:{digits.upper()}", f"sha256:{digits[:-1]}g", f"md5:{digits[:32]}"),
        *(f"sha512:{digits}", f"SHA256:{digits}", f"{digest} ", f"sha256:../../{digits[6:]}"),
        *(flipped, other["digest"], digests.EMPTY),
    ):
        yield "digest", value
    for value in (
        *(GONE, None, str(size), -1, -size, True, [], size + 0.5, float(size)),
        *(1 << 63, size + 1, size - 1, 0, 1 << 62),
    ):
        yield "size", value
    yield from (("urls", value) for value in (5, "http://127.0.0.1/", {}, [5], [None]))
    yield from (("annotations", value) for value in (5, "x", [], {"a": 5}, {"a": None}))
    yield from (("platform", value) for value in (5, "linux", [], {}, {"os": "linux"}))
    yield from (("Size", size), ("Digest", digest), ("MEDIATYPE", "x"), ("artifactType", 5))


def _of_descriptors(right: Wrong) -> Iterator[Wrong]:
    plain = json.loads(right.manifest)
    layers = plain["layers"]
    pieces = [(("config",), plain["config"], layers[0])]
    pieces += [(("layers", n), one, plain["config"]) for n, one in enumerate(layers)]
    for path, piece, other in pieces:
        label = " ".join(map(str, path))
        for field, value in _descriptor_values(piece, other):
            made = _json(_with(plain, (*path, field), value))
            yield evolve(right, name=f"{label}: {field} {_shown(value)}", manifest=made)


def _with_config(right: Wrong, data: bytes, name: str) -> Wrong:
    """*right* with *data* for its config, which its manifest names as it is."""
    plain = json.loads(right.manifest)
    plain["config"] = _descriptor(plain["config"]["mediaType"], data)
    return Wrong(name, _json(plain), right.media_type, {**right.blobs, digests.of(data): data})


_TOO_LONG = "x" * (2 << 20)
_CONFIG_FIELDS: tuple[tuple[tuple[str, ...], tuple[Any, ...]], ...] = (
    (("architecture",), (GONE, None, "", 5, [], "\0")),
    (("os",), (GONE, None, "", 5, {}, "\0")),
    (("created",), (5, "yesterday", "2024-13-01T00:00:00Z", "2024-01-31", "99999", [])),
    (("author",), (5, [], "\0", _TOO_LONG)),
    (("history",), (5, "x", {}, [5], [None], [{"empty_layer": "x"}], [{"created_by": 5}])),
    (("rootfs",), (GONE, None, 5, [], {}, {"type": "layers"})),
    (("rootfs", "type"), (GONE, None, 5, "tar", "LAYERS")),
    (("rootfs", "diff_ids"), (GONE, None, 5, "x", {}, [], [None], [5], ["sha256:"])),
    (("Rootfs",), ({},)),
    (("OS",), ("windows",)),
    (("config",), (5, "x", [])),
    (("config", "Env"), (5, "A=1", {}, [5], [None], ["A=\0"], ["A=1"] * 100_000, [_TOO_LONG])),
    (("config", "Cmd"), (5, "sh", {}, [5], ["\0"], [_TOO_LONG])),
    (("config", "Entrypoint"), (5, "sh", {}, [[]], ["a\0b"])),
    (("config", "User"), (5, "-1", "4294967296", "0:-1", "a:b:c", "a\nb", "\0")),
    (("config", "WorkingDir"), (5, [], "/\0", _TOO_LONG)),
    (("config", "Volumes"), (5, ["/x"], {"/": {}}, {"/proc": {}}, {"/a/../..": {}}, {"/a": 5})),
    (("config", "ExposedPorts"), (5, [80], {"80/tcp": 5}, {"0/tcp": {}}, {"1-99999": {}})),
    (("config", "Labels"), (5, ["a"], {"a": 5}, {"a": "\0"})),
    (("config", "Healthcheck"), (5, [], {"Test": "x"}, {"Test": ["RUN"]}, {"Interval": -1})),
    (("config", "StopSignal"), (5, [], "\0")),
    (("config", "env"), (["LD_PRELOAD=/x"],)),
    (("config", "CMD"), (["x"],)),
)


def _of_config(right: Wrong) -> Iterator[Wrong]:
    data = right.blobs[json.loads(right.manifest)["config"]["digest"]]
    yield from _of_documents("config", data, right)
    plain = json.loads(data)
    for path, values in _CONFIG_FIELDS:
        for number, value in enumerate(values):
            name = f"config: {'.'.join(path)} {number} {_shown(value)}"
            yield _with_config(right, _json(_with(plain, path, value)), name)
    ids = plain["rootfs"]["diff_ids"]
    for name, listed in {
        "one less": ids[:-1],
        "one more": [*ids, ids[0]],
        "reversed": ids[::-1],
        "the first twice": [ids[0], ids[0], *ids[2:]],
        "in upper case": [one.upper() for one in ids],
        "without algorithm": [one.removeprefix("sha256:") for one in ids],
        "of another layer": [ids[0], digests.of(b"other"), *ids[2:]],
        "of nothing": [digests.EMPTY, *ids[1:]],
        "of no layer": [digests.of(one.encode()) for one in ids],
    }.items():
        made = _json(_with(plain, ("rootfs", "diff_ids"), listed))
        yield _with_config(right, made, f"config: diff ids {name}")


def _damages(data: bytes) -> Iterator[tuple[str, bytes]]:
    middle = len(data) // 2
    for place in (0, 1, middle, len(data) - 1):
        flipped = bytearray(data)
        flipped[place] ^= 1
        yield f"a bit flipped at {place}", bytes(flipped)
    yield "empty", b""
    yield "cut by one", data[:-1]
    yield "cut in the middle", data[:middle]
    yield "longer by one", data + b"\0"
    yield "zeros", bytes(len(data))
    yield "HTML", b"<html>503</html>".ljust(len(data))[: len(data)]


def _of_blobs(right: Wrong) -> Iterator[Wrong]:
    """Blobs that are not what their digest says: what a disk, a wire or a proxy does to them."""
    for number, (digest, data) in enumerate(right.blobs.items()):
        for name, made in _damages(data):
            yield evolve(right, name=f"blob {number}: {name}", blobs={**right.blobs, digest: made})
        without = {one: content for one, content in right.blobs.items() if one != digest}
        yield evolve(right, name=f"blob {number}: missing", blobs=without)


def _of_layers(right: Wrong) -> Iterator[Wrong]:
    """Layers that are what the manifest says, and not what the config says."""
    plain = json.loads(right.manifest)
    for number, layer in enumerate(plain["layers"]):
        data = right.blobs[layer["digest"]]
        for name, made in _layers(data, layer["mediaType"].endswith("gzip")):
            entry = _descriptor(layer["mediaType"], made)
            manifest = _json(_with(plain, ("layers", number), entry))
            blobs = {**right.blobs, entry["digest"]: made}
            yield Wrong(f"layer {number}: {name}", manifest, right.media_type, blobs)


def _layers(data: bytes, zipped: bool) -> Iterator[tuple[str, bytes]]:
    tar = gzip.decompress(data) if zipped else data

    def packed(content: bytes) -> bytes:
        return gzip.compress(content, mtime=0) if zipped else content

    yield "no bytes", b""
    yield "HTML", b"<html>no layer</html>"
    yield "no tar", packed(b"no tar at all" * 100)
    yield "another tar", packed(_tar({"other": b"x"}))
    yield "an empty tar", packed(bytes(10240))
    yield "cut in a header", packed(tar[:300])
    yield "cut in a file", packed(tar[:1500])
    yield "one byte of a file changed", packed(tar[:520] + b"\x7f" + tar[521:])
    yield "one byte of a header changed", packed(tar[:10] + b"\x7f" + tar[11:])
    yield "more zeros at its end", packed(tar + bytes(512))
    yield "more files at its end", packed(tar + _tar({"other": b"x"}))
    if zipped:
        yield "its stream cut", data[:-20]
        yield "its checksum cut", data[:-8]
        yield "its checksum wrong", data[:-8] + bytes(4) + data[-4:]
        yield "its length wrong", data[:-4] + b"\1\0\0\0"
        yield "a broken block", data[:30] + b"\xff" * 8 + data[38:]
        yield "a second stream that is none", data + b"\x1f\x8b\x08" + bytes(20)
