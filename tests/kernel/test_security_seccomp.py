"""Line 7: each system call gets the verdict that Docker's profile gives it, in run and in exec.

The verdicts are worked out here, one rule after the other, with the C library's numbers; nothing
of our compiler takes part. All tests fail without compile's "seccomp" step.
"""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
from functools import cache, partial
from pathlib import Path

import pytest
from docker_defaults import CAPABILITIES

import pyengine
from pyengine import Engine, InvalidRequest, Unsupported
from pyengine.linux.seccomp_pretend import CALLS
from pyengine.linux.seccomp_tables import architectures

pytestmark = [pytest.mark.kernel, pytest.mark.tiers]

DATA = Path(pyengine.__file__).parent / "data"
PROFILE = json.loads((DATA / "seccomp.json").read_text())
MACHINE = os.uname().machine
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[MACHINE]
KERNEL = tuple(int(part) for part in os.uname().release.split(".")[:2])
MAY_RUN, KILLS, RAISES_SIGSYS = 0, -1, -2
UNFILTERED = ("uretprobe", "uprobe")  # the kernel asks no filter about its own (Linux 6.14)
COMPARISONS = {
    "SCMP_CMP_EQ": lambda given, value, _: given == value,
    "SCMP_CMP_LT": lambda given, value, _: given < value,
    "SCMP_CMP_GT": lambda given, value, _: given > value,
    "SCMP_CMP_GE": lambda given, value, _: given >= value,
    "SCMP_CMP_MASKED_EQ": lambda given, value, wanted: given & value == wanted,
}
# what Docker's own profile lets pass, and ours does not; seccomp.py says why
CLOSED = ("socketcall",)
# what must never pass, whatever a profile's next version says
DANGEROUS = (
    *("io_uring_setup", "io_uring_enter", "io_uring_register", "bpf", "userfaultfd", "keyctl"),
    *("add_key", "request_key", "mount", "umount2", "move_mount", "open_tree", "fsopen", "setns"),
    *("unshare", "pivot_root", "perf_event_open", "kexec_load", "kexec_file_load", "init_module"),
    *("finit_module", "delete_module", "open_by_handle_at", "swapon", "reboot", "syslog", "acct"),
    *("settimeofday", "clock_settime", "sethostname", "setdomainname", "quotactl"),
)


@cache
def numbers() -> dict[str, int]:
    """Each call's number, as the C library's header has it."""
    told = subprocess.run(
        ["cc", "-E", "-dM", "-"],
        input="#include <sys/syscall.h>",
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.findall(r"^#define __NR_(\w+) (\d+)$", told.stdout, re.MULTILINE)
    return {name: int(number) for name, number in found}


@cache
def all_numbers() -> dict[str, int]:
    """The header's, and those of newer kernels, which are the same on every machine."""
    known = numbers()
    ours = json.loads((DATA / f"syscalls-{MACHINE}.json").read_text())
    assert {name: ours[name] for name in ours.keys() & known.keys()} == {
        name: known[name] for name in ours.keys() & known.keys()
    }
    return ours | known


def applies(rule, capabilities) -> bool:
    """Whether a rule is for containers like this one, here."""
    wanted, unwanted = rule.get("includes", {}), rule.get("excludes", {})
    if not set(wanted.get("caps", ())) <= set(capabilities):
        return False
    if set(unwanted.get("caps", ())) & set(capabilities):
        return False
    if "arches" in wanted and ARCHITECTURE not in wanted["arches"]:
        return False
    if ARCHITECTURE in unwanted.get("arches", ()):
        return False
    least = wanted.get("minKernel", "0.0")
    return tuple(int(part) for part in least.split(".")[:2]) <= KERNEL


def matches(rule, name, arguments) -> bool:
    if name not in rule["names"]:
        return False
    return all(
        COMPARISONS[one["op"]](arguments[one["index"]], one["value"], one.get("valueTwo", 0))
        for one in rule.get("args") or ()
    )


def verdict(name, arguments=(0,) * 6, capabilities=CAPABILITIES) -> int:
    """What Docker's profile says of a call: 0 to let it pass, else an errno."""
    rules = [rule for rule in PROFILE["syscalls"] if applies(rule, capabilities)]
    found = [rule for rule in rules if matches(rule, name, arguments)]
    refusals = [rule for rule in found if rule["action"] == "SCMP_ACT_ERRNO"]
    if refusals:  # the stricter one wins, as in the kernel
        return int(refusals[0]["errnoRet"])
    assert all(rule["action"] == "SCMP_ACT_ALLOW" for rule in found)
    return MAY_RUN if found else int(PROFILE["defaultErrnoRet"])


def expected(capabilities=CAPABILITIES) -> dict[int, int]:
    """The verdict on each number that has a name."""
    return {
        number: verdict(name, capabilities=capabilities)
        for name, number in all_numbers().items()
        if name not in UNFILTERED
    }


def newest_named() -> int:
    """The highest number of a call that the profile knows; beyond it the answer is ENOSYS.

    That is what runc does, so that programs fall back to what an old kernel offers too.
    """
    known = all_numbers()
    return max(known.get(name, 0) for rule in PROFILE["syscalls"] for name in rule["names"])


@pytest.fixture(scope="module")
def views(tmp_path_factory, image):
    """What the probe finds out about the filter: of its container, and of one that joins it."""
    with Engine(tmp_path_factory.mktemp("seccomp")) as engine:
        container = engine.start(image, ["sleep", "1000"])
        run, join = partial(engine.run, image), container.exec
        ways = {
            "run": run,
            "exec": join,
            "user": partial(run, user="app"),
            "user exec": partial(join, user="app"),
            "terminal": partial(run, tty=True),
            "no new privileges": partial(run, no_new_privileges=True),
            "init": partial(run, init=True),
        }
        return {way: outcome(partial(call, ["/bin/probe"])) for way, call in ways.items()}


def outcome(call):
    """What came of it, also if that cannot be had here: each way for itself."""
    try:
        return call()
    except Unsupported as error:
        return error


WAYS = ("run", "exec", "user", "user exec", "terminal", "no new privileges", "init")


@pytest.fixture(params=WAYS)
def seen(request, views):
    told = views[request.param]
    if isinstance(told, Unsupported):
        raise told
    return json.loads(told.stdout)["seccomp"]


def test_the_verdict_on_each_call_is_the_profile_s(seen):
    wanted, newest = expected(), newest_named()
    unfiltered = [all_numbers().get(name) for name in UNFILTERED]
    assert seen["mode"] == 2
    assert seen["machine"] == MACHINE
    assert len(wanted) > 360
    wrong = {}
    for number, found in enumerate(seen["verdicts"]):
        right = errno.ENOSYS if number > newest else wanted.get(number, errno.EPERM)
        if found != right and number not in unfiltered:
            wrong[number] = (found, right)
    assert wrong == {}


def test_the_profile_says_what_docker_s_says():
    allowed = set(PROFILE["syscalls"][0]["names"])
    assert len(allowed) == 361 - len(CLOSED)
    assert not allowed.intersection(CLOSED)
    assert PROFILE["defaultAction"] == "SCMP_ACT_ERRNO"
    assert verdict("clone3") == errno.ENOSYS
    assert verdict("ptrace") == MAY_RUN  # since kernel 4.8 filters cannot be traced away


def test_what_endangers_the_host_is_refused_whatever_the_profile_says(seen):
    found = {name: seen["verdicts"][all_numbers()[name]] for name in DANGEROUS}
    assert set(found.values()) <= {errno.EPERM, errno.ENOSYS}, found


def test_arguments_decide_where_the_profile_looks_at_them(seen):
    kinds = ("NS", "CGROUP", "UTS", "IPC", "USER", "PID", "NET")
    wanted = {
        **{f"socket(AF_{kind})": MAY_RUN for kind in ("UNIX", "INET", "NETLINK", "PACKET")},
        "socket(AF_ALG)": errno.EPERM,
        "socket(AF_VSOCK)": errno.EPERM,
        # docker lets these two pass, and the kernel then looks at the lower half alone
        "socket(AF_ALG|1<<32)": errno.EAFNOSUPPORT,
        "socket(AF_VSOCK|1<<32)": errno.EAFNOSUPPORT,
        "clone(SIGCHLD)": MAY_RUN,
        **{f"clone(CLONE_NEW{kind})": errno.EPERM for kind in kinds},
        **{f"personality({number})": MAY_RUN for number in (0, 8, "0x20000", "0x20008")},
        "personality(0xffffffff)": MAY_RUN,
        "personality(ADDR_NO_RANDOMIZE)": errno.EPERM,
    }
    assert {call: seen["calls"][call] for call in wanted} == wanted


@pytest.mark.skipif(MACHINE != "x86_64", reason="x32 and i386 are x86-64's")
def test_another_convention_is_no_way_around_the_filter(seen):
    calls = seen["calls"]
    for call in ("x32 getpid", "x32 io_uring_setup"):
        assert calls[call] in (errno.ENOSYS, errno.EPERM, KILLS)
    for call in ("i386 bpf", "i386 mount", "i386 keyctl", "i386 socketcall"):
        assert calls[call] in (errno.EPERM, errno.ENOSYS, KILLS, None)  # None: no 32-bit kernel
    assert calls["i386 getpid"] in (MAY_RUN, KILLS, None)


# --- what may be asked instead (C52) ---


def probe(engine, image, **options):
    told = json.loads(engine.run(image, ["/bin/probe"], **options).check().stdout)
    return told["seccomp"]


@pytest.mark.parametrize("capability", ["SYS_ADMIN", "SYS_PTRACE", "SYS_TIME", "BPF"])
def test_a_capability_opens_the_calls_it_is_for(engine, image, capability):
    found = probe(engine, image, cap_add=[capability])
    wanted = expected((*CAPABILITIES, f"CAP_{capability}"))
    assert wanted != expected()
    wrong = {
        number: (found["verdicts"][number], right)
        for number, right in wanted.items()
        if number <= newest_named() and found["verdicts"][number] != right
    }
    assert wrong == {}


def test_without_its_capability_chroot_is_refused(engine, image):
    number = all_numbers()["chroot"]
    assert probe(engine, image)["verdicts"][number] == MAY_RUN
    assert probe(engine, image, cap_drop=["SYS_CHROOT"])["verdicts"][number] == errno.EPERM


@pytest.mark.parametrize("options", [{"seccomp": "unconfined"}, {"privileged": True}])
def test_no_filter_is_had_by_asking_for_none(engine, image, options):
    found = probe(engine, image, **options)
    unfiltered = {all_numbers().get(name) for name in UNFILTERED}
    if "subids" in engine.capabilities():
        assert found["mode"] == 0
    else:  # a filter gives files away seemingly, where there is nobody to give them to
        assert found["mode"] == 2
        unfiltered |= set(CALLS[architectures(MACHINE)[0].name].values())
    answers = {found["verdicts"][n] for n in range(newest_named()) if n not in unfiltered}
    assert answers == {MAY_RUN}


def test_the_privileged_have_a_filter_if_they_ask_for_one(engine, image):
    assert probe(engine, image, privileged=True, seccomp="default")["mode"] == 2


@pytest.mark.parametrize("form", ["mapping", "text", "file", "security_opt"])
def test_a_profile_of_one_s_own_decides(engine, image, tmp_path, form):
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [
            {"names": ["getppid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 71},
            {"names": ["sync"], "action": "SCMP_ACT_KILL_PROCESS"},
            {"names": ["syncfs"], "action": "SCMP_ACT_TRAP"},
        ],
    }
    text = json.dumps(profile)
    (tmp_path / "profile.json").write_text(text)
    asked = {
        "mapping": {"seccomp": profile},
        "text": {"seccomp": text},
        "file": {"seccomp": tmp_path / "profile.json"},
        "security_opt": {"security_opt": [f"seccomp={text}"]},
    }[form]
    found, known = probe(engine, image, **asked), all_numbers()
    answers = {name: found["verdicts"][known[name]] for name in ("getppid", "sync", "syncfs")}
    assert answers == {"getppid": 71, "sync": KILLS, "syncfs": RAISES_SIGSYS}
    assert found["verdicts"][known["mount"]] == MAY_RUN


@pytest.mark.parametrize(
    "profile",
    [
        "{",
        "[]",
        "{}",
        {"defaultAction": "SCMP_ACT_PERHAPS"},
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": "read"}]},
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": 5},
        {"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": "many"},
        {
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [
                {
                    "names": ["read"],
                    "action": "SCMP_ACT_ERRNO",
                    "args": [{"index": 9, "value": 0, "op": "SCMP_CMP_EQ"}],
                }
            ],
        },
    ],
)
def test_a_profile_that_is_wrong_is_refused_before_anything_is_made(engine, image, profile):
    for make in (engine.create, engine.start, engine.run):
        with pytest.raises(InvalidRequest, match="seccomp"):
            make(image, "true", seccomp=profile)
    assert engine.containers.list(all=True) == []
