"""An image as big ones are: half a gigabyte of what this host has installed, in four layers."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

LAYERS = 4
MOST_BYTES, FEWEST_FILES = 540 << 20, 42_000
_SMALL, _LARGE = 8 << 10, 24 << 20
COMPRESSORS = {"gzip": ("gzip", "-n", "-6"), "zstd": ("zstd", "-q", "-3")}
_OCI = "application/vnd.oci.image"


@frozen
class BigImage:
    """The blobs of one image in a *directory*, each a file called by its digest."""

    directory: Path
    manifest: bytes
    blobs: tuple[Path, ...]
    layers: tuple[Path, ...]
    bytes: int
    files: int


@frozen
class Archives:
    """Its layers as they are before they are compressed."""

    paths: tuple[Path, ...]
    bytes: int
    files: int


def make_archives(directory: Path, source: str = "/usr") -> Archives:
    """Pack as much of *source* as is wanted into tars in *directory*."""
    chosen, total = _choose(source)
    share = -(-len(chosen) // LAYERS)
    paths = []
    for number in range(LAYERS):
        files, path = chosen[number::LAYERS], directory / f"layer{number}.tar"
        assert len(files) <= share
        names = "\0".join(name.lstrip("/") for name in files)
        command = ["tar", "--no-recursion", "--null", "-C", "/", "-T", "-", "-cf", str(path)]
        subprocess.run(command, input=names.encode(errors="surrogateescape"), check=True)
        paths.append(path)
    return Archives(tuple(paths), total, len(chosen))


def _choose(source: str) -> tuple[list[str], int]:
    """Nearly all files are small, and nearly all bytes in the others: as in most images."""
    found = list(_regular(source))
    chosen = [one for one in found if one[1] <= _SMALL][:FEWEST_FILES]
    total = sum(size for _, size in chosen)
    for path, size in found:
        if _SMALL < size <= _LARGE and total + size <= MOST_BYTES:
            chosen.append((path, size))
            total += size
    return sorted(path for path, _ in chosen), total


def _regular(source: str) -> Iterator[tuple[str, int]]:
    for directory, below, names in os.walk(source):
        below.sort()
        for name in sorted(names):
            path = f"{directory}/{name}"
            found = os.lstat(path)
            if os.path.isfile(path) and not os.path.islink(path) and found.st_nlink == 1:
                yield path, found.st_size


def make_image(archives: Archives, directory: Path, compression: str) -> BigImage:
    """The image of these *archives*, compressed with one of `COMPRESSORS`."""
    directory.mkdir()
    layers, diff_ids, blobs = [], [], []
    for number, path in enumerate(archives.paths):
        made = directory / f"layer{number}"
        with made.open("wb") as out:
            subprocess.run([*COMPRESSORS[compression], "-c", str(path)], stdout=out, check=True)
        blob = made.rename(directory / digest_of(made).partition(":")[2])
        blobs.append(blob)
        layers.append(_described(blob, f"{_OCI}.layer.v1.tar+{compression}"))
        diff_ids.append(digest_of(path))
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["true"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created_by": f"layer {number}"} for number in range(LAYERS)],
    }
    made = directory / "config"
    made.write_text(json.dumps(config))
    blob = made.rename(directory / digest_of(made).partition(":")[2])
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{_OCI}.manifest.v1+json",
        "config": _described(blob, f"{_OCI}.config.v1+json"),
        "layers": layers,
    }
    data = json.dumps(manifest).encode()
    layer_blobs = tuple(blobs)
    return BigImage(directory, data, (*blobs, blob), layer_blobs, archives.bytes, archives.files)


def _described(blob: Path, media_type: str) -> dict[str, object]:
    return {
        "mediaType": media_type,
        "digest": f"sha256:{blob.name}",
        "size": blob.stat().st_size,
    }


def digest_of(path: Path) -> str:
    """The digest of a file."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
