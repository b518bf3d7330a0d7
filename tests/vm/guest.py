"""What runs inside the machine: pytest, as root and as a user, each in a cgroup of its own.

``python -m tests.vm.guest [ARGUMENT …]``: arguments are pytest's, instead of our choice of tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
USER = 1000
CONTROLLERS = "+cpuset +cpu +io +memory +pids"

CGROUPS_TESTED = (
    *("tests/kernel/test_cgroup_v2.py", "tests/kernel/test_cgroup_v2_delegation.py"),
    *("tests/kernel/test_cgroup_delegation.py", "tests/kernel/test_cgroups.py"),
    *("tests/kernel/test_limits_inside.py", "tests/kernel/test_top_and_stats.py"),
)
AS_ROOT = ("-m", "not soak", "tests/kernel/test_smoke.py", *CGROUPS_TESTED)
AS_USER = ("-m", "anyone and not soak", "tests/kernel")


def main(arguments: list[str]) -> None:
    """Run both and report each one's exit code on the second serial line."""
    who = arguments.pop(0) if arguments and arguments[0] in ("root", "user") else ""
    with open("/dev/ttyS1", "w", encoding="ascii") as results:
        for name in ("root", "user"):
            if who in ("", name):
                code = run(name, tuple(arguments))
                print(f"{name} {code}", file=results, flush=True)


def run(name: str, arguments: tuple[str, ...]) -> int:
    """The exit code of pytest, run by *name*."""
    print(f"\n== as {name}", flush=True)
    is_user = name == "user"
    place = delegated() if is_user else made("system.slice/tests.service")
    chosen = arguments or (AS_USER if is_user else AS_ROOT)
    base = f"/tmp/pytest-of-{name}"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "--color=no",
        f"--basetemp={base}",
    ]

    def enter() -> None:
        (place / "cgroup.procs").write_text("0")
        if is_user:
            os.setgroups([])
            os.setresgid(USER, USER, USER)
            os.setresuid(USER, USER, USER)

    home = "/home/tester" if is_user else "/root"
    environment = {**os.environ, "HOME": home, "USER": "tester" if is_user else "root"}
    return subprocess.run(
        [*command, *chosen], preexec_fn=enter, env=environment, check=False
    ).returncode


def made(name: str) -> Path:
    """The cgroup *name*, whose parents hand every controller down."""
    path = CGROUPS
    for part in name.split("/"):
        (path / "cgroup.subtree_control").write_text(CONTROLLERS)
        path /= part
        path.mkdir(exist_ok=True)
    return path


def delegated() -> Path:
    """What ``systemd-run --user --scope -p Delegate=yes`` gives a program to live in."""
    manager = made(f"user.slice/user-{USER}.slice/user@{USER}.service")
    scope = made(f"{manager.relative_to(CGROUPS)}/app.slice/run-1.scope")
    for path in (manager, manager / "app.slice", scope):
        for name in ("", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"):
            os.chown(path / name, USER, USER)
    for path in (manager, scope):
        os.setxattr(path, "user.delegate", b"1")
    return scope


if __name__ == "__main__":
    main(sys.argv[1:])
