"""What ``capabilities()`` says of an option is what becomes of who asks for it, both ways."""

from __future__ import annotations

import os
import subprocess
import tempfile

import pytest
from support.whoever import IS_ROOT

from pyengine import Unsupported, bind

pytestmark = [pytest.mark.kernel, pytest.mark.anyone, pytest.mark.tiers]


def disk() -> str:
    """A disk of this host, whether anybody may read it or not."""
    with open("/proc/partitions", encoding="ascii") as file:
        names = [line.split()[3] for line in file.read().splitlines()[2:]]
    return next(path for name in names if os.path.exists(path := f"/dev/{name}"))


def other(engine, image):
    return engine.start(image, "sleep 1000")


def propagated(engine, image):
    """A mount that is shared already: asking for more than the host has is another mistake."""
    if not IS_ROOT:
        source = f"{os.environ['PYENGINE_GIVEN']}/shared/below"
        return engine.run(image, "true", volumes=[f"{source}:/x:rslave"])
    with tempfile.TemporaryDirectory() as source:
        for how in (["--bind", source], ["--make-shared"]):
            subprocess.run(["mount", *how, source], check=True)
        try:
            return engine.run(image, "true", volumes=[f"{source}:/x:rslave"])
        finally:
            subprocess.run(["umount", "-l", source], check=True)


OPTIONS = {
    "memory": [{"memory": "64m"}, {"memory": "64m", "memory_swap": "64m"}],
    "cpu": [{"cpus": 0.5}, {"cpu_shares": 2}],
    "cpuset": [{"cpuset": "0"}],
    "pids": [{"pids": 100}],
    "subids": [{"user": "app"}, {"group_add": ["mail"]}],
    "own-ids": [{"userns": "auto"}],
    "cgroups": [{"cgroup_parent": "/pyengine-claims"}, {"security_opt": ["writable-cgroups"]}],
    "pid-host": [{"pid": "host"}],
    "oom-score": [{"oom_score_adj": 100}],
    "device-rules": [{"device_cgroup_rules": ["c 1:5 r"]}, {"devices": ["/dev/null:/dev/x:r"]}],
    "bare-binds": [{"mounts": [bind("/", "/x", recursive=False)]}],
    "host-users": [{"userns": "host"}],
    "keep-id": [{"userns": "keep-id"}],
    "nomap": [{"userns": "nomap"}],
}
CALLS = {
    "io": lambda engine, image: engine.run(image, "true", device_read_bps={disk(): "1m"}),
    "propagation": propagated,
    "pause": lambda engine, image: other(engine, image).pause(),
    "stats": lambda engine, image: other(engine, image).stats(),
    "pid-shared": lambda engine, image: engine.run(
        image, "true", pid=f"container:{other(engine, image).id}"
    ),
}
WISHES = [
    *((name, options) for name, tried in OPTIONS.items() for options in tried),
    *CALLS.items(),
]


@pytest.mark.parametrize(("name", "wish"), WISHES, ids=lambda one: one if type(one) is str else "")
def test_what_is_announced_is_granted_and_what_is_not_is_refused_for_that_cause(
    engine, image, record_property, name, wish
):
    feature = engine.capabilities()[name]
    refused = None
    try:
        wish(engine, image) if callable(wish) else engine.run(image, "true", **wish).check()
    except Unsupported as error:
        refused = error
    if refused is None:
        # to root "auto" is what this feature is about; to others it is what they have anyway
        assert feature.works or not feature.options
        return
    record_property("refused", name)
    assert not feature.works, refused
    assert refused.missing.endswith(feature.why)
    assert feature.concerns(refused.feature)
    assert refused.remedy


def test_every_option_that_may_be_refused_was_tried(engine):
    features = engine.capabilities().features
    assert {one.name for one in features if one.options} <= OPTIONS.keys() | CALLS.keys()
