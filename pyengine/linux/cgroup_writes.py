"""Writing limits into a cgroup, and saying in the user's words what the kernel refused."""

from __future__ import annotations

import errno
from collections.abc import Iterable

from pyengine.errors import InvalidRequest, KernelError, Unsupported
from pyengine.linux import cgroup_files as files
from pyengine.linux.enforcement import Enforcement
from pyengine.linux.limits import Write


def write_all(directory: str, writes: Iterable[Write], enforced: Enforcement) -> None:
    """Put *writes* in force; *enforced* decides about what this kernel cannot do.

    Raises `InvalidRequest`, `Unsupported` or `KernelError`.
    """
    again = []
    for write in writes:
        try:
            _write(directory, write)
        except InvalidRequest:
            again.append(write)
        except Unsupported as error:
            enforced.give_up(error)
    for write in again:
        # pairs such as memory and memory+swap of v1: which must go first depends on the old
        _write(directory, write)


def refuse_to_starve(directory: str, writes: Iterable[Write]) -> None:
    """Raise `InvalidRequest` for a memory limit below what is in use.

    Version 1 refuses by itself; version 2 would kill until it fits (cgroup-v2.rst).
    """
    for write in writes:
        file, content = write.choices[0]
        if file != "memory.max":
            continue
        used = files.number(files.read_or_none(directory + "/memory.current"))
        if used is not None and used > int(content):
            why = f"the container uses {used} bytes now"
            raise InvalidRequest(write.option, int(content), why=why)


def _write(directory: str, write: Write) -> None:
    for file, content in write.choices:
        try:
            files.write(f"{directory}/{file}", content)
            return
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _refusal(directory, file, content, write, error) from error
    if write.required:
        missing = f"this host's kernel has no {write.choices[-1][0]}"
        raise Unsupported(write.option, missing, "leave it out")


def _refusal(
    directory: str, file: str, content: bytes, write: Write, error: OSError
) -> InvalidRequest | KernelError | Unsupported:
    if error.errno in (errno.EOPNOTSUPP, errno.ENODEV):
        return Unsupported(write.option, f"the kernel cannot set {file} to {content.decode()}")
    if error.errno in (errno.EINVAL, errno.ERANGE):
        why = f"the kernel refuses it in {directory}/{file}"
        return InvalidRequest(write.option, content.decode(), why=why)
    hint = "more is in use than the new limit" if error.errno == errno.EBUSY else ""
    return KernelError(error.errno or errno.EIO, f"set {directory}/{file}", hint)
