"""The limit: C programs that make the same containers by direct system calls, compiled when needed.

Each container of theirs gets what one of ours gets by default; the masked paths, capabilities,
filter, lower layers and device policy are asked of pyengine, so that they cannot differ.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from benchmarks.nobody import Nobody
from benchmarks.rootfs import Missing
from pyengine.containers.host import host_facts
from pyengine.containers.rootfs import host_root
from pyengine.containers.spec import security_of
from pyengine.linux import device_filter
from pyengine.linux.capabilities import mask
from pyengine.linux.hierarchy import Hierarchy, enable, parse_mounts
from pyengine.linux.seccomp import filter_for
from pyengine.model.options import ContainerOptions
from pyengine.store.layout import Layout

HERE = Path(__file__).parent
BUILT = HERE / ".build"
_COMMON = ("clone.c", "recipe.c", "privileges.c", "child.c", "container.c", "drain.c")
_FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra")
_PATIENCE = 10.0  # seconds for the kernel to let go of a cgroup


def program(name: str) -> str:
    """The path of the limit program *name*, compiled anew if any source is younger."""
    target = BUILT / name
    sources = [HERE / f"{name}.c", *(HERE / common for common in _COMMON)]
    headers = [HERE / "container.h", HERE.parent / "csrc/syscalls.h"]
    newest = max(path.stat().st_mtime for path in (*sources, *headers))
    if target.exists() and target.stat().st_mtime > newest:
        return str(target)
    compiler = os.environ.get("CC") or shutil.which("cc")
    if not compiler:
        raise Missing("a C compiler", "apt-get install -y gcc libc6-dev")
    BUILT.mkdir(exist_ok=True)
    staged = f"{target}.{os.getpid()}"
    subprocess.run([compiler, *_FLAGS, "-o", staged, *map(str, sources)], check=True)
    os.replace(staged, target)
    return str(target)


@frozen
class Cgroups:
    """Where the limit makes its cgroups: in *v2*, and in *pids*, which may be the same."""

    v2: str | None
    pids: str | None

    def options(self) -> tuple[str, ...]:
        """What tells a limit program."""
        v2 = ("-2", self.v2) if self.v2 else ()
        return (*v2, "-1", self.pids) if self.pids else v2


@contextmanager
def cgroups() -> Iterator[Cgroups]:
    """Cgroups of the limit's own, with the device filter that our containers have."""
    hierarchy = Hierarchy.probe()
    name = f"pyengine-limit-{os.getpid()}"
    v2 = f"{hierarchy.v2}/{name}" if hierarchy.v2 else None
    in_v2 = v2 is not None and "pids" in hierarchy.v2_controllers
    v1 = f"{hierarchy.v1['pids']}/{name}" if "pids" in hierarchy.v1 else None
    made: list[str] = []
    try:
        for path in (v2, v1):
            if path is not None:
                os.mkdir(path)
                made.append(path)
        if v2 is not None:
            device_filter.attach(device_filter.DEFAULT_POLICY, v2)
            enable(v2, hierarchy.v2_controllers)
        yield Cgroups(v2, v2 if in_v2 else v1)
    finally:
        for path in made:
            _remove_cgroup(path)


def _remove_cgroup(path: str) -> None:
    """Remove *path* with what a limit program may have left in it, if it was ended."""
    if os.path.exists(f"{path}/cgroup.kill"):
        Path(path, "cgroup.kill").write_text("1")
    below = [entry.path for entry in os.scandir(path) if entry.is_dir()]
    deadline = time.monotonic() + _PATIENCE
    for directory in (*below, path):
        while True:
            try:
                os.rmdir(directory)
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                break


def cgroups_of(pid: int) -> Cgroups:
    """The cgroups in which process *pid* is."""
    v2, v1 = parse_mounts(Path("/proc/self/mountinfo").read_text())
    found: dict[str, str] = {}
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            found[controller] = path
    pids = f"{v1['pids']}{found['pids']}" if "pids" in v1 and "pids" in found else None
    return Cgroups(f"{v2}{found['']}" if v2 and "" in found else None, pids)


@frozen
class Limit:
    """What the limit's containers are made of, as options of its programs."""

    directory: Path
    _privileges: tuple[str, ...]
    _root: tuple[str, ...]
    cgroups: Cgroups
    nobody: Nobody | None = None

    def run(self, program_and_arguments: Sequence[str], *options: str) -> list[str]:
        """The command that makes one container after the other."""
        return self._command("run", options, program_and_arguments)

    def many(self, program_and_arguments: Sequence[str], number: int, workers: int) -> list[str]:
        """The command that makes *number* at once."""
        options = ("-n", str(number), "-j", str(workers))
        return self._command("many", options, program_and_arguments)

    def exec(self, pid: int, program_and_arguments: Sequence[str], *options: str) -> list[str]:
        """The command that visits the container of *pid*, whose cgroups it joins."""
        where = (*cgroups_of(pid).options(), "-p", str(pid))
        return [program("exec"), *self._privileges, *where, *options, "--", *program_and_arguments]

    def _command(
        self, name: str, options: Sequence[str], program_and_arguments: Sequence[str]
    ) -> list[str]:
        made_of = (*self._privileges, *self._root, *self.cgroups.options())
        command = [program(name), *made_of, *options, "--", *program_and_arguments]
        return command if self.nobody is None else self.nobody.command(command)


@contextmanager
def limit(directory: Path, rootfs: Path, nobody: Nobody | None = None) -> Iterator[Limit]:
    """The limit for containers of *rootfs*, working in *directory*, which must not exist yet.

    With *nobody* it is theirs, who have no cgroups, and whose containers are in user namespaces.
    """
    for name in ("mnt", "files", "trash", "init"):
        (directory / name).mkdir(parents=True)
    security = security_of(ContainerOptions("x").security, host_facts())
    seccomp = filter_for("default", security.capabilities)
    assert seccomp is not None  # the default profile is one
    (directory / "filter").write_bytes(seccomp.program)
    layers = host_root(f"rootfs:{rootfs}", Layout(str(directory), str(directory))).lowers
    privileges = (
        *("-c", f"{mask(security.capabilities):x}"),
        *("-f", str(directory / "filter"), "-F", str(seccomp.flags)),
    )
    root = (
        *("-l", ":".join(layers), "-d", str(directory)),
        *("-m", ":".join(security.masked_paths), "-r", ":".join(security.readonly_paths)),
    )
    if nobody is not None:
        nobody.give(directory)
        yield Limit(directory, privileges, (*root, "-u"), Cgroups(None, None), nobody)
        return
    with cgroups() as where:
        yield Limit(directory, privileges, root, where)


def timer(command: Sequence[str]) -> list[str]:
    """The command that times *command*, from its start to its end."""
    return [program("command"), *command]
