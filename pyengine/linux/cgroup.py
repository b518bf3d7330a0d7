"""One container's cgroups in every tree of the host: what counts, limits, freezes and ends it.

The version 2 tree, with or without controllers, carries kill, freeze and processor time; a
child is born into it (CLONE_INTO_CGROUP). Version 1 controllers get a cgroup only where a limit
asks for one, and the child joins by writing "0" to its ``tasks``, before it runs anything.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from attrs import define, field

from pyengine.errors import AlreadyExists, KernelError, TimedOut, Unsupported
from pyengine.linux import cgroup_files as files
from pyengine.linux import device_filter, freezer
from pyengine.linux.cgroup_names import (
    PARENT,
    branch,
    check_name,
    check_parent,
    find,
    find_below,
    is_level,
)
from pyengine.linux.cgroup_writes import refuse_to_starve, write_all
from pyengine.linux.device_filter import DEFAULT_POLICY, DevicePolicy
from pyengine.linux.enforcement import Enforcement
from pyengine.linux.hierarchy import CgroupInfo, Hierarchy, inherit_cpuset, remove_marked
from pyengine.linux.limits import Limits, Write, limits
from pyengine.model.spec import Resources

if TYPE_CHECKING:
    from pyengine.linux.cgroup_sample import CgroupSample

__all__ = ["Cgroup", "CgroupInfo", "Hierarchy"]

_NO_FILTER = "this host lets us filter devices neither by eBPF nor by the devices controller"

_WITHOUT_V2 = ("freezer", "cpuacct")
"""What the version 2 tree would give every container, where there is none."""

_attach_default = partial(device_filter.attach_once, DEFAULT_POLICY)


@define(eq=False)
class Cgroup:
    """The cgroups of one container; any process that may can `open` them again by name.

    *enforced* tells which limits are not in force. *unfiltered* is empty where the kernel
    filters devices, else the reason why not: the container must then not make nodes.
    """

    hierarchy: Hierarchy = field(repr=False)
    name: str
    parent: str
    v2_path: str | None = None
    v1_paths: dict[str, str] = field(factory=dict)  # by mount point
    enforced: Enforcement = field(factory=Enforcement)
    unfiltered: str = ""
    level: str = ""  # the directory of its owner's containers, where it is in one
    _joined: list[str] = field(factory=list)  # v1 cgroups to join that are shared with others

    @classmethod
    def create(
        cls,
        hierarchy: Hierarchy,
        name: str,
        resources: Resources,
        *,
        parent: str = "",
        devices: DevicePolicy = DEFAULT_POLICY,
        level: str = "",
    ) -> Cgroup:
        """Make the cgroups of a container and limit them, before anybody joins.

        *parent* is a path below the root of each tree; where none is asked for it is
        ``/pyengine``, and *level* the directory there that is killed and removed as one.
        Raises `InvalidRequest`, `Unsupported` (a limit this host cannot enforce),
        `AlreadyExists` and `KernelError`; then nothing is left.
        """
        cgroup = cls(hierarchy, check_name(name), check_parent(parent), level=level)
        wanted = cgroup._weigh(resources)
        try:
            cgroup._make(wanted, devices)
        except BaseException:
            cgroup.remove(timeout=0)
            raise
        return cgroup

    @classmethod
    def open(
        cls, hierarchy: Hierarchy, name: str, parent: str = "", level: str = "", pid: int = 0
    ) -> Cgroup:
        """The cgroups that `create` made, from any process; without any where they are gone.

        *level* is where to look first. Another process of this user may have been given another
        part of the tree: then it is where *pid* lives, its first program.
        """
        cgroup = cls(hierarchy, check_name(name), check_parent(parent))
        if hierarchy.v2 is not None:
            cgroup.v2_path = find(hierarchy.v2, cgroup.parent, name, level)
            if cgroup.v2_path is not None and is_level(above := cgroup.v2_path.split("/")[-2]):
                cgroup.level = level = above
        if cgroup.v2_path is None and pid and hierarchy.delegation is not None:
            cgroup.v2_path = hierarchy.delegation.place_of(pid, name)
        for tree in set(hierarchy.v1.values()):
            path: str | None = f"{tree}{cgroup.parent or PARENT + (level and '/' + level)}/{name}"
            if cgroup.v2_path is None and not cgroup.parent:
                path = find_below(tree + PARENT, name)
            if path is not None and os.path.isdir(path):
                cgroup.v1_paths[tree] = path
        return cgroup

    @classmethod
    def levels(cls, hierarchy: Hierarchy, level: str) -> list[Cgroup]:
        """What all containers of one owner are in, to be killed and removed as one."""
        found = []
        for tree, path in hierarchy.levels(level):
            if os.path.isdir(tree + path):
                cgroup = cls(hierarchy, level, "")
                if tree == hierarchy.v2:
                    cgroup.v2_path = tree + path
                else:
                    cgroup.v1_paths[tree] = tree + path
                found.append(cgroup)
        return found

    def child(self, name: str) -> Cgroup:
        """A cgroup below this one for the processes of one exec, to end them as one.

        Limits are those of the container. `remove` it as any other.
        """
        above = self.v2_path or self._v1("freezer")
        made = Cgroup(self.hierarchy, check_name(name), self.parent)
        made._joined = [path for path in (*self.v1_paths.values(), *self._joined) if path != above]
        if above is None:
            return made
        path = f"{above}/{name}"
        try:
            files.make(path)
        except FileExistsError:
            raise AlreadyExists("cgroup", path) from None
        except OSError as error:
            raise KernelError(error.errno or errno.EIO, f"make cgroup {path}") from error
        if self.v2_path is not None:
            made.v2_path = path
        else:
            made.v1_paths[self.hierarchy.v1["freezer"]] = path
        return made

    # --- joining ---

    def v2_fd(self) -> int | None:
        """A descriptor for CLONE_INTO_CGROUP, close-on-exec; the caller closes it."""
        if self.v2_path is None:
            return None
        return os.open(self.v2_path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def join_fds(self) -> list[int]:
        """Descriptors that the child writes "0" to, to join v1 cgroups; the caller closes them.

        (The child writes for itself: to move another process costs the kernel 10 ms.)
        """
        opened: list[int] = []
        try:
            for path in (*self.v1_paths.values(), *self._joined):
                # one by one: those that are open must be known when the next one fails
                opened.append(os.open(path + "/tasks", os.O_WRONLY | os.O_CLOEXEC))  # noqa: PERF401
        except OSError as error:
            for descriptor in opened:
                os.close(descriptor)
            raise KernelError(error.errno or errno.EIO, "open a cgroup to join") from error
        return opened

    # --- acting on all of its processes ---

    def kill(self) -> None:
        """End every process, also those being forked now; none escapes (Linux 5.14)."""
        if self.v2_path is None or not freezer.kill_all(self.v2_path):
            freezer.kill_each(self.v2_path, self._v1("freezer"), self.processes)

    def freeze(self, timeout: float = 10.0) -> None:
        """Stop every process where it is; returns when all stand.

        Raises `TimedOut` after *timeout* seconds (a process in uninterruptible sleep), having
        let them go on, and `Unsupported` where the host cannot freeze.
        """
        v2, v1 = self.v2_path, self._v1("freezer")
        if v2 is None and v1 is None:
            raise Unsupported("pause", *self.hierarchy.why_nowhere())
        freezer.set_frozen(v2, v1, True)
        if not freezer.wait_frozen(v2, v1, timeout):
            self.thaw()
            raise TimedOut(f"freezing container {self.name!r}", timeout)

    def thaw(self) -> None:
        """Let them go on; nothing happens to those that are not frozen."""
        freezer.set_frozen(self.v2_path, self._v1("freezer"), False)

    def is_frozen(self) -> bool:
        """Whether every process stands still."""
        return freezer.is_frozen(self.v2_path, self._v1("freezer"))

    def processes(self) -> list[int]:
        """The process ids in it and below it, as this process's pid namespace numbers them."""
        top = self._tracked()
        found: set[int] = set()
        for path in files.tree(top) if top else ():
            content = files.read_or_none(path + "/cgroup.procs") or b""
            found.update(map(int, content.split()))
        found.discard(0)  # processes that our pid namespace cannot see
        return sorted(found)

    def is_populated(self) -> bool:
        """Whether any process lives in it; zombies do not."""
        if self.v2_path is not None:
            return files.events(self.v2_path).get("populated") == 1
        return bool(self.processes())

    def wait_empty(self, timeout: float = 10.0) -> bool:
        """Wait at most *timeout* seconds until nobody lives in it; whether that is so."""
        if self.v2_path is not None:
            return files.wait_for_event(self.v2_path, "populated", 0, timeout)
        return files.wait_until(lambda: not self.processes(), timeout)

    # --- limits and numbers ---

    def update(self, resources: Resources) -> None:
        """Put *resources*, the whole new set, in force; what it leaves open stays as it is.

        A v1 controller that had no limit before gets a cgroup now, and every process is moved
        into it, 10 ms each; memory used until then stays charged where it was.
        """
        wanted = self._weigh(resources)
        if self.v2_path is not None:
            refuse_to_starve(self.v2_path, wanted.v2)
            write_all(self.v2_path, wanted.v2, self.enforced)
        for tree, writes in self._by_tree(wanted.v1).items():
            if tree in self.v1_paths:
                write_all(self.v1_paths[tree], writes, self.enforced)
            else:
                self._make_v1(tree, writes)
                self._move_into(self.v1_paths[tree])
        if resources.pids is None and (path := self.path_of("pids")) is not None:
            write_all(path, (Write("pids", (("pids.max", b"max"),), "pids"),), self.enforced)

    def oom_kills(self) -> int:
        """How many of its processes the kernel has killed for want of memory."""
        path = self.path_of("memory")
        if path is None:
            return 0
        file = "memory.oom_control" if "memory" in self.hierarchy.v1 else "memory.events"
        return files.flat_keyed(files.read_or_none(f"{path}/{file}")).get("oom_kill", 0)

    def sample(self) -> CgroupSample:
        """What the kernel has counted until now."""
        from pyengine.linux.cgroup_sample import take_sample  # not every program asks for numbers

        return take_sample(self)

    def path_of(self, controller: str) -> str | None:
        """The cgroup of this container in which *controller* counts; None where it does not."""
        if controller in self.hierarchy.v1:
            return self._v1(controller)
        return self.v2_path if controller in self.hierarchy.v2_controllers else None

    def remove(self, timeout: float = 10.0) -> None:
        """Remove all of it; its processes must be dead or dying. What is gone is no error.

        Raises `KernelError` (EBUSY) when somebody still lives in it after *timeout* seconds.
        """
        for path in self.v1_paths.values():
            try:  # by far the usual case: it was the last to leave
                os.rmdir(path)
            except OSError:
                files.remove_tree(path, timeout, self.v2_path)
        if self.v2_path is not None:
            files.remove_tree(self.v2_path, timeout, self.v2_path)
        if self.parent:
            for made in (self.v2_path, *self.v1_paths.values()):
                if made is not None:
                    remove_marked(made.rpartition("/")[0])

    # --- making ---

    def _make(self, wanted: Limits, devices: DevicePolicy) -> None:
        hierarchy = self.hierarchy
        self.unfiltered = "" if devices.unrestricted else _NO_FILTER
        if hierarchy.v2 is not None:
            self._make_v2(hierarchy.v2, wanted.v2, devices)
        by_tree = self._by_tree(wanted.v1)
        if hierarchy.v2 is None:
            for name in _WITHOUT_V2:
                if name in hierarchy.v1:
                    by_tree.setdefault(hierarchy.v1[name], [])
        for tree, writes in by_tree.items():
            self._make_v1(tree, writes)
        if self.unfiltered and "devices" in hierarchy.v1:
            self._filter_v1(hierarchy.v1["devices"], devices)

    def _make_v2(self, tree: str, writes: tuple[Write, ...], devices: DevicePolicy) -> None:
        shared = devices.is_default and not self.parent
        above = self.parent or branch(devices)
        path = self.v2_path = self._make_below(tree, self._own_place(above))
        refused = self.hierarchy.refused
        try:
            if devices.unrestricted or refused:
                pass
            elif not shared:
                device_filter.attach(devices, path)
            # asked only now: with a container in it, nobody can remove the parent any more
            elif not self.hierarchy.has_filter(tree + above):
                self.hierarchy.share_filter(tree + above, _attach_default)
        except KernelError as error:
            refused.append(str(error))
        if not devices.unrestricted:
            self.unfiltered = refused[0] if refused else ""
        write_all(path, writes, self.enforced)

    def _make_v1(self, tree: str, writes: Iterable[Write]) -> None:
        above = self._own_place(self.parent or PARENT)
        path = self._make_below(tree, above)
        self.v1_paths[tree] = path
        if tree == self.hierarchy.v1.get("cpuset"):
            self.hierarchy.prepare(tree, above)  # another engine may just have made it anew
            inherit_cpuset(tree + above, path)
        write_all(path, writes, self.enforced)

    def _filter_v1(self, tree: str, devices: DevicePolicy) -> None:
        try:
            if devices.is_default and not self.parent:
                path = self.hierarchy.prepare(tree, branch(devices))
                device_filter.restrict_v1_once(devices, path)
                self._joined.append(path)
            else:
                if tree not in self.v1_paths:
                    self._make_v1(tree, ())
                device_filter.restrict_v1(devices, self.v1_paths[tree])
        except OSError as error:
            self.unfiltered = f"{self.unfiltered}; {error}"
        else:
            self.unfiltered = ""

    def _make_below(self, tree: str, above: str) -> str:
        """Make the directory of this container in *tree*, and what is above it if need be."""
        path = f"{tree}{above}/{self.name}"
        for _ in range(16):
            try:
                if not self.hierarchy.is_prepared(tree + above):
                    self.hierarchy.prepare(tree, above)
                files.make(path)
            except FileExistsError:
                raise AlreadyExists("cgroup", path) from None
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENODEV):
                    raise KernelError(error.errno or errno.EIO, f"make cgroup {path}") from error
                self.hierarchy.forget(tree + above)  # another engine has tidied it away
            else:
                return path
        raise KernelError(errno.ENOENT, f"make cgroup {path}", hint="its parent keeps vanishing")

    # --- small things ---

    def _weigh(self, resources: Resources) -> Limits:
        """What of *resources* can be put in force; the rest is refused, or taken note of."""
        host = self.hierarchy
        wanted = limits(resources, host.v1_controllers, host.v2_controllers)
        self.enforced = Enforcement(resources.best_effort)
        if wanted.refused:
            self.enforced.refuse(wanted.refused, host.delegation)
        return wanted

    def _own_place(self, above: str) -> str:
        return f"{above}/{self.level}" if self.level and not self.parent else above

    def _v1(self, controller: str) -> str | None:
        return self.v1_paths.get(self.hierarchy.v1.get(controller, ""))

    def _tracked(self) -> str | None:
        """The cgroup that has all of its processes."""
        if self.v2_path is not None:
            return self.v2_path
        return self._v1("freezer") or next(iter(self.v1_paths.values()), None)

    def _by_tree(self, writes: tuple[Write, ...]) -> dict[str, list[Write]]:
        trees: dict[str, list[Write]] = {}
        for write in writes:
            if write.choices[0][1] != b"max":  # a v1 cgroup only where there is a limit
                trees.setdefault(self.hierarchy.v1[write.controller], []).append(write)
        return trees

    def _move_into(self, path: str) -> None:
        """Move every process there; again, until none was forked meanwhile."""
        for _ in range(16):
            there = set((files.read_or_none(path + "/cgroup.procs") or b"").split())
            missing = [pid for pid in self.processes() if b"%d" % pid not in there]
            if not missing:
                return
            for process in missing:
                try:
                    files.write(path + "/cgroup.procs", b"%d" % process)
                except ProcessLookupError:
                    continue
                except OSError as error:
                    doing = f"move process {process} to {path}"
                    raise KernelError(error.errno or errno.EIO, doing) from error
