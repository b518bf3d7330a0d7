"""What it means for a container that a step of its birth failed."""

from __future__ import annotations

import errno
import os

from pyengine.errors import (
    EngineError,
    ExecutableNotFound,
    InvalidRequest,
    KernelError,
    NoSpace,
    NotExecutable,
    NotPermitted,
    Unsupported,
)
from pyengine.linux.native import Failure
from pyengine.linux.plan import BIND_RECURSIVE, Step
from pyengine.model.spec import ContainerSpec

_NO_INTERPRETER = "its interpreter (after #!, or the loader of its format) is missing in the image"


_HINTS = {
    errno.EMFILE: "this process has too many files open: raise its limit (ulimit -n)",
    errno.ENFILE: "the host has too many files open: raise fs.file-max",
}


def host_error(error: OSError, doing: str) -> EngineError:
    """*error*, of a call that prepared something outside the child; it may be one of ours."""
    if isinstance(error, EngineError):
        return error
    number = error.errno or 0
    return KernelError(number, doing, _HINTS.get(number, ""))


def start_error(failure: Failure, spec: ContainerSpec) -> EngineError:
    """The error for who wanted *spec* to run."""
    return join_error(failure, spec.argv, spec.workdir)


def join_error(failure: Failure, argv: tuple[str, ...], workdir: str) -> EngineError:
    """The error for who wanted *argv* to run in *workdir*."""
    if failure.step is None:
        return _program_error(failure.errno, argv)
    if failure.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace(failure.step.target or "the engine's root", str(failure.error()))
    explain = _EXPLAINED.get(failure.step.op)
    found = explain(failure.errno, failure.step, workdir) if explain is not None else None
    if found is None and failure.errno in _HINTS:
        return KernelError(failure.errno, str(failure.step), _HINTS[failure.errno])
    return found or failure.error()


def _program_error(number: int, argv: tuple[str, ...]) -> EngineError:
    name = argv[0]
    if number in (errno.ENOENT, errno.ENOTDIR):
        return ExecutableNotFound(name)
    if number in (errno.EACCES, errno.EPERM, errno.EISDIR):
        return NotExecutable(name, "permission denied")
    if number == errno.ENOEXEC:
        return NotExecutable(name, "exec format error", "is it for another architecture?")
    if number == errno.ELIBACC:
        return NotExecutable(name, _NO_INTERPRETER)
    if number == errno.E2BIG:
        return InvalidRequest("command", argv, why="its arguments and environment are too long")
    if number == errno.ELOOP:
        return NotExecutable(name, "too many levels of symbolic links, or of #! interpreters")
    return NotExecutable(name, KernelError(number, f"execute {name}").strerror)


def _workdir(number: int, step: Step, workdir: str) -> EngineError | None:
    why = {
        errno.ENOTDIR: "it is not a directory",
        errno.ELOOP: "its links lead nowhere, or out of the container",
        errno.EXDEV: "it lies outside the container",
        errno.EACCES: "permission denied",
        errno.ENOENT: "it does not exist",
        errno.EROFS: "it does not exist, and the root is read-only",
    }.get(number)
    return None if why is None else InvalidRequest("workdir", workdir, why=why)


def _layers(number: int, step: Step, workdir: str) -> EngineError | None:
    if number == errno.EINVAL and step.data and not step.target:
        from pyengine.containers.writable import refuse_upper

        return refuse_upper(os.path.dirname(os.fsdecode(step.data.rstrip(b"\0"))))
    return _mount(number, step, workdir)


def _mount(number: int, step: Step, workdir: str) -> EngineError | None:
    if number == errno.ENOENT and step.source:
        source = step.source.split("\0")[0]
        return InvalidRequest("mount source", source, why="it does not exist any more")
    if number == errno.ENOTDIR:
        why = "a file cannot be mounted on a directory, nor a directory on a file"
        return InvalidRequest("mount target", step.target, why=why)
    if number == errno.ELOOP:
        why = "its links lead in a circle, out of the container, or to its root"
        return InvalidRequest("mount target", step.target, why=why)
    is_bare = step.op == "bind" and not step.flags & BIND_RECURSIVE
    if number == errno.EINVAL and is_bare and os.geteuid() != 0:
        from pyengine.containers.rootless import NO_BARE, NO_BARE_REMEDY

        return Unsupported(f"recursive=False on {step.target}", NO_BARE, NO_BARE_REMEDY)
    if number == errno.EINVAL and step.op == "mount":
        options = step.data.rstrip(b"\0").replace(b"\0", b",").decode(errors="replace")
        return InvalidRequest(f"{step.kind} options", options, why="the kernel refuses them")
    return None


def _name_file(number: int, step: Step, workdir: str) -> EngineError | None:
    return _mount(number, step, workdir) if number != errno.ENOENT else None


def _borrow(number: int, step: Step, workdir: str) -> EngineError | None:
    if number == errno.EINVAL:
        what = "pid" if step.kind == "proc" else "ipc"
        why = f"that container has covered its {step.source}"
        return InvalidRequest(what, step.source, why=why)
    return None


def _sysctl(number: int, step: Step, workdir: str) -> EngineError | None:
    name = step.target.replace("/", ".")
    if number == errno.ENOENT:
        return Unsupported(f"sysctl {name}", "this kernel does not have it", "leave it out")
    if number in (errno.EINVAL, errno.ERANGE):
        value = step.data.decode(errors="replace")
        return InvalidRequest(f"sysctl {name}", value, why="the kernel refuses this value")
    return None


def _rlimit(number: int, step: Step, workdir: str) -> EngineError | None:
    if number == errno.EPERM:
        why = "it is above this process's own, and to raise that takes CAP_SYS_RESOURCE"
        return NotPermitted(step.doing, why, "ask for less, or run with it")
    if number == errno.EINVAL:
        return InvalidRequest("ulimits", step.doing, why="the kernel refuses it")
    return None


_EXPLAINED = {
    "chdir": _workdir,
    "bind": _mount,
    "bind_at": _name_file,
    "mount": _mount,
    "overlay": _layers,
    "borrow": _borrow,
    "sysctl": _sysctl,
    "rlimit": _rlimit,
}
