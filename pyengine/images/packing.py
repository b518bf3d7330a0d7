"""Layers become blobs again, when an image leaves that was made here."""

from __future__ import annotations

import hashlib
import os
import threading
import zlib
from collections.abc import Callable
from typing import Literal, Protocol

from pyengine.errors import EngineError, InvalidContent, InvalidRequest
from pyengine.images.content import Content
from pyengine.images.unpacking import LayerPlan
from pyengine.model import media_types
from pyengine.model.content import Descriptor

Compression = Literal["gzip", "zstd", "none"]
Packer = Callable[[int, int], object]
"""Writes the tree of one directory fd as a tar to another fd."""

_LEVELS = {"gzip": range(10), "zstd": range(1, 23), "none": range(1)}
_USUAL = {"gzip": 6, "zstd": 3, "none": 0}
_CHUNK = 1 << 20


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes:
        """Take a piece."""

    def flush(self) -> bytes:
        """All has come."""


class _Plain:
    """Leaves all as it is."""

    def compress(self, data: bytes, /) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


def check_compression(compression: str, level: int | None) -> tuple[Compression, int]:
    """*compression* and *level*, or its usual one. Raises `InvalidRequest`."""
    levels = _LEVELS.get(compression)
    if levels is None:
        raise InvalidRequest("compression", compression, "gzip, zstd or none")
    if level is None:
        level = _USUAL[compression]
    if level not in levels:
        expected = f"{levels[0]} to {levels[-1]} for {compression}"
        raise InvalidRequest("compression level", level, expected)
    return compression, level  # type: ignore[return-value]


def _compressor(compression: Compression, level: int) -> _Compressor:
    if compression == "none":
        return _Plain()
    if compression == "zstd":
        from pyengine.images.zstandard import compressor

        return compressor(level)
    return zlib.compressobj(level, zlib.DEFLATED, 31)  # 31: a gzip header, without time or name


def pack_layer(
    content: Content,
    plan: LayerPlan,
    compression: Compression = "gzip",
    level: int | None = None,
    *,
    oci: bool = True,
    pin: Callable[[str], object] = str,
    packer: Packer | None = None,
) -> Descriptor:
    """Make a blob of the unpacked layer of *plan*, and say what it is called.

    *pin* is told its digest before it has its name. The same layer gives the same bytes each
    time. Raises `InvalidContent` where what is on disk does not have the diff id of *plan* any
    more, `NoSpace`, `StoreError`.
    """
    compression, level = check_compression(compression, level)
    directory = os.open(
        content.layers.directory(plan.chain_id), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    )
    reader, writer = os.pipe2(os.O_CLOEXEC)
    packing = _Packing(packer or _native, directory, writer)
    try:
        with open(reader, "rb", buffering=0) as tar, content.blobs.draft() as draft:
            compressor = _compressor(compression, level)
            diff_id = hashlib.sha256()
            while data := tar.read(_CHUNK):
                diff_id.update(data)
                draft.write(compressor.compress(data))
            draft.write(compressor.flush())
            packing.finish()
            if f"sha256:{diff_id.hexdigest()}" != plan.diff_id:
                why = f"packed, it is sha256:{diff_id.hexdigest()}: its files have been changed"
                raise InvalidContent("layer", why, plan.diff_id)
            pin(draft.digest)
            digest, size = draft.commit(), draft.offset
    finally:
        packing.join()
        os.close(directory)
    kind = media_types.layer_type("" if compression == "none" else compression, oci=oci)
    return Descriptor(kind, digest, size)


def _native(directory: int, out: int) -> object:
    from pyengine.linux.native_layers import pack

    return pack(directory, out, user_xattrs=os.geteuid() != 0)


class _Packing:
    """A thread that packs; whoever reads what it writes may stop at any time."""

    def __init__(self, packer: Packer, directory: int, writer: int) -> None:
        self._packer, self._directory, self._writer = packer, directory, writer
        self._error: EngineError | None = None
        self._thread = threading.Thread(target=self._run, name="pack", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._packer(self._directory, self._writer)
        except EngineError as error:
            self._error = error
        finally:
            os.close(self._writer)

    def join(self) -> None:
        """Wait until it has ended."""
        self._thread.join()

    def finish(self) -> None:
        """Wait for the end; raise what it raised."""
        self.join()
        if self._error is not None:
            raise self._error
