"""Write the archives that fuzzing begins with: ``python tests/fuzz/make_corpus.py``."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent / "corpus" / "untar"
PREFIX = b"\x20\x01"  # pieces of 225 bytes; marks of an overlay of a user namespace


def _entry(name: str, kind: bytes = tarfile.REGTYPE, **more: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.mtime = kind, 0o755, 1.5
    for key, value in more.items():
        setattr(info, key, value)
    return info


def _tar(*entries: tarfile.TarInfo, form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for entry in entries:
            tar.addfile(entry, io.BytesIO(b"x" * entry.size))
    return out.getvalue()


def _all_kinds() -> list[tarfile.TarInfo]:
    return [
        _entry("./", tarfile.DIRTYPE),
        _entry("d/", tarfile.DIRTYPE, mode=0o2755, uid=5, gid=6),
        _entry("d/file", size=700, mode=0o4755),
        _entry("d/link", tarfile.LNKTYPE, linkname="d/file"),
        _entry("s", tarfile.SYMTYPE, linkname="d/../d"),
        _entry("s/below"),
        _entry("null", tarfile.CHRTYPE, devmajor=1, devminor=3),
        _entry("block", tarfile.BLKTYPE, devmajor=7, devminor=300),
        _entry("fifo", tarfile.FIFOTYPE),
        _entry("n" * 120 + "/" + "m" * 120, size=3),
    ]


def _python() -> Iterator[tuple[str, bytes]]:
    yield "pax", _tar(*_all_kinds())
    yield "gnu", _tar(*_all_kinds(), form=tarfile.GNU_FORMAT)
    yield "ustar", _tar(*_all_kinds()[:-1], form=tarfile.USTAR_FORMAT)
    whiteouts = [_entry(name) for name in ("d/.wh.x", "d/.wh..wh..opq", ".wh..wh.plnk/a", ".wh.d")]
    yield "whiteouts", _tar(_entry("d", tarfile.DIRTYPE), *whiteouts, _entry("d/x", size=1))
    yield (
        "again",
        _tar(_entry("a", size=1), _entry("a", tarfile.DIRTYPE), _entry("a/b"), _entry("a")),
    )
    loop = [_entry(a, tarfile.SYMTYPE, linkname=b) for a, b in (("a", "b"), ("b", "a"))]
    yield "loop", _tar(*loop, _entry("a/file"))
    yield "dangling", _tar(_entry("lib", tarfile.SYMTYPE, linkname="/usr/lib"), _entry("lib/x/y"))
    yield "outside", _tar(_entry("../x", size=3))
    attributes = {
        "SCHILY.xattr.user.a": "1",
        "SCHILY.xattr.trusted.overlay.opaque": "y",
        "SCHILY.xattr.security.capability": "\x01\x00\x00\x02" + "\x00" * 16,
        "hdrcharset": "BINARY",
    }
    yield "attributes", _tar(_entry("f", size=2, pax_headers=attributes))
    listed = {"GNU.sparse.size": "5000", "GNU.sparse.map": "0,2,4096,3", "GNU.sparse.name": "real"}
    yield "listed", _tar(_entry("f", size=5, pax_headers=listed))


def _gnu() -> Iterator[tuple[str, bytes]]:
    with tempfile.TemporaryDirectory() as top:
        with open(f"{top}/sparse", "wb") as file:
            for at in range(5):
                file.seek(at * 65536)
                file.write(b"data")
            file.truncate(1 << 20)
        for name, words in {
            "sparse-old": ["--format=gnu"],
            "sparse-0.0": ["--format=posix", "--sparse-version=0.0"],
            "sparse-0.1": ["--format=posix", "--sparse-version=0.1"],
            "sparse-1.0": ["--format=posix", "--sparse-version=1.0"],
        }.items():
            command = ["tar", "-c", "-b1", "--sparse", *words, "-C", top, "sparse"]
            whole = subprocess.run(command, check=True, capture_output=True).stdout
            yield name, whole


def main() -> None:
    """Write them all."""
    HERE.mkdir(parents=True, exist_ok=True)
    for name, data in [*_python(), *_gnu()]:
        (HERE / name).write_bytes(PREFIX + data.rstrip(b"\0") + b"\0" * 600)


if __name__ == "__main__":
    main()
