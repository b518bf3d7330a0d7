"""The facts about this host that specifications depend on, looked up once."""

from __future__ import annotations

import os
from functools import cache

from pyengine.containers.spec import HostFacts
from pyengine.linux import counters, probe
from pyengine.linux.capabilities import held, last_cap
from pyengine.linux.cgroup import Hierarchy


@cache
def host_facts() -> HostFacts:
    """What this host has, as this process may use it."""
    cpus, nodes = probe.allowed()
    machine = probe.machine()
    return HostFacts(
        cpus=os.cpu_count() or 1,
        cpuset_cpus=cpus,
        cpuset_mems=nodes,
        memory=counters.memory_total(),
        last_cap=last_cap(),
        held=held() if os.geteuid() == 0 else -1,  # all there are, in a user namespace of ours
        architecture=machine.machine,
        cgroup_version=1 if Hierarchy.probe().v1 else 2,
        hostname=machine.nodename,
        thermal_paths=probe.thermal_paths(),
        security_modules=probe.security_modules(),
        user=os.geteuid(),
        group=os.getegid(),
    )
