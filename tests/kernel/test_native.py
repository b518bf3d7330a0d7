"""Births through the C border: what a child gets, what its birth leaves, who dies with whom."""

from __future__ import annotations

import ctypes
import errno
import os
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
from support.births import ENV, FRESH, PROC, House, ends, joining, run, running

from pyengine.errors import KernelError
from pyengine.linux import capabilities, native, native_joiner, native_mounts
from pyengine.linux import plan as p
from pyengine.linux.plan import Plan, Step

pytestmark = pytest.mark.kernel

NOT_OPEN = 9_999
PR_GET_DUMPABLE = 3
RELEASE = tuple(map(int, os.uname().release.split("-")[0].split(".")[:2]))
WITH_OUR_PATH = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.fixture
def house(rootfs, tmp_path):
    return House(str(tmp_path), rootfs)


@pytest.fixture
def joiner():
    made = native_joiner.Joiner()
    yield made
    made.close()


def names_in(mount):
    fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=mount)
    try:
        return os.listdir(fd)
    finally:
        os.close(fd)


def is_dumpable():
    return ctypes.CDLL(None).prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1


def all_of(terminal):
    """What is said on a terminal until nobody has it open any more."""
    said = b""
    while True:
        try:
            said += os.read(terminal, 4096)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return said


def children():
    found = set()
    for thread in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{thread}/children", encoding="ascii") as file:
            found.update(map(int, file.read().split()))
    return found


@contextmanager
def held_birth(house, *steps):
    """A birth that stops after *steps* until the block is left; yields the child's pid.

    A v1 ``tasks`` file is written to: here it is a pipe, first an empty one, so that we know
    how far it is, then a full one.
    """
    told, tell = os.pipe()
    rest, full = os.pipe()
    os.set_blocking(full, False)
    try:
        while os.write(full, bytes(4096)):
            pass
    except BlockingIOError:
        os.set_blocking(full, True)
    held = (Step("pivot"), *steps, Step("cgroup", fd=0), Step("cgroup", fd=1))
    plan = Plan(("true",), ENV, (*house.root(), *held), FRESH, fds=(tell, full))
    before, born = children(), []
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    thread = threading.Thread(target=lambda: born.append(native.spawn(plan, (null, null, null))))
    thread.start()
    try:
        assert os.read(told, 1) == b"0"
        (pid,) = children() - before
        yield pid
    finally:
        os.read(rest, 65536)
        thread.join()
        for fd in (null, told, tell, rest, full):
            os.close(fd)
    (child,) = born
    failure = native.hear(child)
    end = native.wait(child.pidfd)
    os.close(child.pidfd)
    assert (failure, end.exit_code) == (None, 0)


# --- what becomes of it ---


@pytest.mark.parametrize("code", [0, 1, 77, 255])
def test_the_exit_code_of_the_program_comes_back(house, code):
    end = run(house.plan("sh", "-c", f"exit {code}")).end
    assert (end.exit_code, end.signal) == (code, None)


def test_the_signal_that_killed_the_program_comes_back(house):
    with running(house.plan("sleep", "60")) as child:
        assert native.wait(child.pidfd, block=False) is None
        signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)
        end = native.wait(child.pidfd)
        os.close(child.pidfd)
        child.pidfd = -1
    assert (end.exit_code, end.signal) == (None, signal.SIGKILL)


def test_a_step_that_fails_is_named_and_nothing_runs(house):
    bad = Step(
        "bind", "/mnt", source="/nowhere/at/all", kind="private", doing="bind what is not there"
    )
    ran = run(house.plan("sh", "-c", "echo it ran", steps=(bad,)))
    assert ran.failure == native.Failure(errno.ENOENT, bad)
    assert str(ran.failure.error()).startswith("could not bind what is not there")
    assert ran.stdout == b""


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (("nothing-called-this",), errno.ENOENT),
        (("/bin/nothing-called-this",), errno.ENOENT),
        (("/etc/passwd",), errno.EACCES),
        (("/etc",), errno.EACCES),
        (("",), errno.ENOENT),
        (("/bin/sh/below-a-file",), errno.ENOTDIR),
    ],
)
def test_a_program_that_cannot_run_is_told_from_a_step(house, argv, error):
    ran = run(house.plan(*argv))
    assert ran.failure == native.Failure(error, None)


def test_a_program_of_no_known_format_is_named_so(house):
    upper, work, mountpoint = house.directories()
    with open(f"{upper}/garbage", "wb") as file:
        file.write(b"\0\1\2 no program")
    os.chmod(f"{upper}/garbage", 0o755)
    overlay = Step(
        "overlay", source=p.texts((house.lower,)), data=os.fsencode(upper) + b"\0", kind=work
    )
    steps = (Step("slave"), overlay, Step("root", target=mountpoint), Step("pivot"))
    ran = run(Plan(("/garbage",), ENV, steps, FRESH))
    assert ran.failure == native.Failure(errno.ENOEXEC, None)


def test_descriptors_that_are_not_open_fail_before_any_step():
    child = native.spawn(Plan(("/bin/true",)), (0, NOT_OPEN, 2))
    failure = native.hear(child)
    native.wait(child.pidfd)
    os.close(child.pidfd)
    assert (failure.errno, str(failure.step)) == (errno.EBADF, "lay down its file descriptors")


def test_an_unknown_step_is_refused(house, monkeypatch):
    monkeypatch.setitem(p.OPS, "levitate", 999)
    ran = run(house.plan("true", steps=(Step("levitate"),)))
    assert ran.failure.errno == errno.ENOSYS


def test_a_plan_of_another_version_is_refused(house, monkeypatch):
    monkeypatch.setattr(p, "ABI", 77)
    with pytest.raises(KernelError, match="clone a child"):
        run(house.plan("true"))


# --- what it gets ---


def test_programs_are_looked_for_in_the_container_s_path_only(house):
    upper, _, _ = house.directories()
    os.makedirs(f"{upper}/opt")
    with open(f"{upper}/opt/hello", "w", encoding="ascii") as file:
        file.write("#!/bin/sh\necho hello\n")
    os.chmod(f"{upper}/opt/hello", 0o755)
    steps = (*house.root(upper), Step("pivot"), Step("chdir", "/opt"))
    found = run(Plan(("hello",), ("PATH=/nowhere:/opt",), steps, FRESH))
    assert (found.failure, found.stdout) == (None, b"hello\n")
    # an empty name in PATH is the working directory to a shell, never to us
    steps = (*house.root(upper), Step("pivot"), Step("chdir", "/opt"))
    assert run(Plan(("hello",), ("PATH=:/bin:",), steps, FRESH)).failure.errno == errno.ENOENT


def test_one_that_may_not_be_executed_does_not_hide_one_that_may(house):
    upper, _, _ = house.directories()
    os.makedirs(f"{upper}/first")
    with open(f"{upper}/first/echo", "w", encoding="ascii") as file:
        file.write("not executable")
    steps = (*house.root(upper), Step("pivot"))
    assert run(Plan(("echo", "second"), ("PATH=/first:/bin",), steps, FRESH)).stdout == b"second\n"


def test_arguments_and_variables_arrive_byte_for_byte(house):
    odd = ("a b", "", "\udcff\udcfe", "é\n", "--", "x" * 100_000)
    plan = Plan(
        ("/bin/probe", *odd), ("A=1", "B=", "\udcfd=2"), (*house.root(), Step("pivot")), FRESH
    )
    seen = run(plan).probe
    as_bytes = [text.encode("latin-1") for text in seen["arguments"]]
    assert as_bytes == [os.fsencode(text) for text in ("/bin/probe", *odd)]
    assert [text.encode("latin-1") for text in seen["environment"]] == [b"A=1", b"B=", b"\xfd=2"]


def test_it_has_three_descriptors_whatever_the_host_lets_be_inherited(house):
    secret = os.open("/etc/hostname", os.O_RDONLY)
    os.set_inheritable(secret, True)
    try:
        seen = run(house.plan("/bin/probe")).probe
    finally:
        os.close(secret)
    assert [fd["fd"] for fd in seen["fds"]] == [0, 1, 2]


def test_its_streams_may_be_given_in_any_order(house):
    # also as descriptors that are the numbers of others: here, in a process of our own
    script = f"""
import os
from support.births import House, FRESH, ENV
from pyengine.linux import native
from pyengine.linux.plan import Plan
house = House({house.base!r}, {house.lower!r})
os.dup2(os.open("/etc/passwd", os.O_RDONLY), 2)      # its stdin
out, err = os.pipe(), os.pipe()
os.dup2(out[1], 0)                                   # its stdout
os.dup2(err[1], 1)                                   # its stderr
child = native.spawn(house.plan("sh", "-c", "head -c 5; echo out; echo err >&2"), (2, 0, 1))
for fd in (0, 1, 2, out[1], err[1]):
    os.close(fd)
heard, code = native.hear(child), native.wait(child.pidfd).exit_code
said = os.read(out[0], 99), os.read(err[0], 99)
os._exit(0 if (heard, said, code) == (None, (b"root:out\\n", b"err\\n"), 0) else 1)
"""
    program = subprocess.run([sys.executable, "-c", script], env=WITH_OUR_PATH, check=False)
    assert program.returncode == 0


def test_signals_are_as_they_are_at_the_beginning_of_time(house):
    ignored = [signal.SIGUSR1, signal.SIGPIPE, signal.SIGRTMIN + 3]
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ignored}
    handled = signal.signal(signal.SIGUSR2, lambda *_: None)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGHUP})
    try:
        seen = run(house.plan("/bin/probe")).probe
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for number, handler in {**before, signal.SIGUSR2: handled}.items():
            signal.signal(number, handler)
    assert seen["signals"] == {"blocked": [], "ignored": []}


def test_it_reads_what_it_is_given(house):
    assert run(house.plan("cat"), b"a line\nand half of one").stdout == b"a line\nand half of one"


def test_its_namespaces_are_its_own(house):
    seen = run(house.plan("/bin/probe")).probe
    here = {name: os.readlink(f"/proc/self/ns/{name}") for name in seen["namespaces"]}
    differ = {name for name, link in seen["namespaces"].items() if link != here[name]}
    assert differ == {"mnt", "pid", "uts", "ipc", "net"}
    assert (seen["pid"], seen["ppid"]) == (1, 0)


def test_it_is_born_into_its_cgroup(house):
    from pyengine.linux.cgroup import Hierarchy

    tree = Hierarchy.probe().v2
    if tree is None:
        pytest.fail("this host has no cgroup v2 tree to test with")
    path = f"{tree}/pyengine-test-{os.getpid()}"
    os.mkdir(path)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        ran = run(house.plan("cat", "/proc/self/cgroup", cgroup=fd))
        # seen from the host's cgroup namespace, which it shares here
        assert f"0::{path.removeprefix(tree)}".encode() in ran.stdout
    finally:
        os.close(fd)
        os.rmdir(path)


# --- what it leaves of the host program ---


def test_the_host_program_stays_as_it_was(house):
    def state():
        mask = os.umask(0)
        os.umask(mask)
        return (
            os.getcwd(), mask, os.getresuid(), os.getresgid(), os.getgroups(), is_dumpable(),
            signal.pthread_sigmask(signal.SIG_BLOCK, ()), os.getsid(0), os.getpgrp(),
        )  # fmt: skip

    before = state()
    steps = (
        Step("setsid"), Step("umask", flags=0o77), Step("hostname", source="elsewhere"),
        Step("groups", data=b"\x07\0\0\0", flags=1), Step("ids", flags=1000, fd=1000),
    )  # fmt: skip
    plan = Plan(("id", "-u"), ENV, (*house.root(), Step("pivot"), *steps), FRESH)
    assert run(plan).words == ["1000"]
    assert run(house.plan("nothing", steps=(Step("chdir", "/nowhere"),))).failure is not None
    assert state() == before


def test_a_neighbour_with_as_many_rights_cannot_look_into_the_memory_it_borrows(house):
    # a container that sees the host's processes, root as ours is, without CAP_SYS_PTRACE
    few = capabilities.mask(capabilities.DEFAULT)
    drop = (Step("bound", flags=few), Step("caps", flags=few))
    script = "for f in environ mem; do head -c 1 /proc/{}/$f >/tmp/x && echo $f; done; echo done"
    with held_birth(house, *drop) as pid:
        spy = Plan(
            ("sh", "-c", script.format(pid)),
            ENV,
            (*house.root(), PROC, Step("pivot"), *drop),
            p.NEWNS,
        )
        assert run(spy).words == ["done"]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_of_the_host_program_does_not_delay_the_news(house):
    go, release = os.pipe()
    with held_birth(house):
        fork = os.fork()  # takes a copy of everything that is open, the child's report too
        if fork == 0:
            os.close(release)
            os.read(go, 1)
            os._exit(0)
    # held_birth has heard from the child by now; the fork lives
    try:
        assert os.waitpid(fork, os.WNOHANG) == (0, 0)
    finally:
        os.close(release)
        os.close(go)
        os.waitpid(fork, 0)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_in_the_middle_of_a_birth_can_give_birth_itself(house):
    with held_birth(house):
        fork = os.fork()
        if fork == 0:
            born = run(house.plan("true")).end.exit_code == 0
            os._exit(0 if born and is_dumpable() else 1)
        _, status = os.waitpid(fork, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_many_threads_give_birth_at_once(house):
    plans = [house.plan("echo", str(n)) for n in range(40)]
    said, lock = [], threading.Lock()

    def work():
        while True:
            with lock:
                if not plans:
                    return
                plan = plans.pop()
            said.append(run(plan).words)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said, key=lambda words: int(words[0])) == [[str(n)] for n in range(40)]


def test_a_child_outlives_the_thread_that_asked_for_it(house):
    owner = native.own_pidfd(os.getpid())
    tied = (Step("pdeathsig", flags=9, fd=0),)
    plan = Plan(("sleep", "60"), ENV, (*house.root(), Step("pivot"), *tied), FRESH, fds=(owner,))
    born = []

    def work():
        null = os.open("/dev/null", os.O_RDWR)
        born.append(native.spawn(plan, (null, null, null)))
        os.close(null)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    (child,) = born
    try:
        assert native.hear(child) is None
        assert not ends(child.pidfd, 0.2)
    finally:
        signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)
        native.wait(child.pidfd)
        os.close(child.pidfd)


def test_who_reaps_all_children_still_lets_us_know_how_ours_ended(house):
    with running(house.plan("sh", "-c", "exit 7")) as child:
        assert ends(child.pidfd)
        pid, status = os.waitpid(child.pid, 0)
        assert (pid, os.waitstatus_to_exitcode(status)) == (child.pid, 7)
        end = native.wait(child.pidfd)
        assert end.exit_code == (7 if RELEASE >= (6, 15) else None)


# --- the landing ---


HOSTILE = "#!/proc/self/exe\n"


@pytest.fixture
def hostile(house, tmp_path):
    """A house whose image asks for the program of whoever starts it."""
    lower = tmp_path / "hostile"
    lower.mkdir()
    (lower / "entry").write_text(HOSTILE)
    (lower / "entry").chmod(0o755)
    return House(
        str(tmp_path / "roots"),
        f"{lower}",
    ), house.lower


def over(house, lower):
    upper, work, mountpoint = house.directories()
    overlay = Step(
        "overlay", source=p.texts((house.lower, lower)), data=os.fsencode(upper) + b"\0", kind=work
    )
    return Step("slave"), overlay, Step("root", target=mountpoint)


@pytest.mark.parametrize("init", [False, True])
def test_an_image_that_asks_for_the_host_s_program_gets_nothing_of_it(hostile, init):
    house, base = hostile
    plan = Plan(("/entry",), ENV, (*over(house, base), PROC, Step("pivot")), FRESH, init=init)
    ran = run(plan)
    assert (ran.failure, ran.end.exit_code) == (None, 126)
    assert ran.stdout == ran.stderr == b""


def test_an_executed_program_that_asks_for_it_gets_nothing_either(hostile, joiner):
    house, base = hostile
    with running(
        Plan(("sleep", "60"), ENV, (*over(house, base), PROC, Step("pivot")), FRESH)
    ) as child:
        ran = run(joining(child, "/entry"), joiner=joiner)
    assert (ran.failure, ran.end.exit_code) == (None, 126)


def test_what_is_in_proc_1_exe_can_be_neither_written_nor_kept_from_running(house):
    script = """
        readlink /proc/1/exe; (echo x > /proc/1/exe) 2>/dev/null && echo written
        chmod 0 /proc/1/exe 2>/dev/null; cmp -s /proc/1/exe /bin/probe || true"""
    assert (
        run(house.plan("sh", "-c", script, init=True))
        .words[0]
        .startswith("/memfd:pyengine-landing")
    )
    assert run(house.plan("echo", "still", init=True)).words == ["still"]
    assert run(house.plan("echo", "still")).words == ["still"]


def test_the_landing_is_sealed():
    import fcntl

    for name in ("landing", "joiner"):
        fd = native.program(name)
        with pytest.raises(PermissionError):
            os.pwrite(fd, b"x", 0)
        with pytest.raises(PermissionError):
            os.ftruncate(fd, 0)
        seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
        assert seals & fcntl.F_SEAL_SEAL


def test_an_init_reaps_and_hands_the_exit_code_on(house):
    script = "(sleep 0 & ); (exec true &); sleep 0; ps -o pid,ppid,stat | grep -c Z; exit 9"
    ran = run(house.plan("sh", "-c", script, init=True))
    assert (ran.words, ran.end.exit_code) == (["0"], 9)


def test_an_init_is_not_the_program_and_passes_signals_on(house):
    script = "trap 'echo caught; exit 3' TERM; echo $$; read word"
    given, never = os.pipe()
    out, out_end = os.pipe()
    child = native.spawn(house.plan("sh", "-c", script, init=True), (given, out_end, out_end))
    os.close(given)
    os.close(out_end)
    assert native.hear(child) is None
    with os.fdopen(out, "rb") as file:
        assert int(file.readline()) > 1
        signal.pidfd_send_signal(child.pidfd, signal.SIGTERM)
        assert file.readline() == b"caught\n"
    assert native.wait(child.pidfd).exit_code == 3
    os.close(child.pidfd)
    os.close(never)


def test_an_init_says_that_its_program_cannot_run(house):
    assert run(house.plan("nothing", init=True)).failure == native.Failure(errno.ENOENT, None)


# --- who joins ---


def test_a_joining_child_is_next_to_its_target(house, joiner):
    steps = (Step("hostname", source="next-door"),)
    with running(house.plan("sleep", "60", steps=steps)) as child:
        ran = run(
            joining(child, "sh", "-c", "hostname; echo $$; ls /proc | grep -c '^[0-9]'"),
            joiner=joiner,
        )
        assert ran.failure is None
        name, pid, processes = ran.words
        assert (name, int(pid) > 1, int(processes) > 2) == ("next-door", True, True)
        seen = run(joining(child, "/bin/probe"), joiner=joiner).probe
        for name in ("mnt", "pid", "uts", "ipc", "net"):
            assert seen["namespaces"][name] == os.readlink(f"/proc/{child.pid}/ns/{name}")
        assert [fd["fd"] for fd in seen["fds"]] == [0, 1, 2]
        assert seen["signals"] == {"blocked": [], "ignored": []}
        assert (seen["umask"], seen["sid"] == seen["pid"]) == (0o022, False)


def test_each_joining_child_finds_its_own_container(house, joiner):
    names = ("one", "two", "three")
    with (
        running(house.plan("sleep", "60", steps=(Step("hostname", source="one"),))) as one,
        running(house.plan("sleep", "60", steps=(Step("hostname", source="two"),))) as two,
        running(house.plan("sleep", "60", steps=(Step("hostname", source="three"),))) as three,
    ):
        said = [
            run(joining(child, "hostname"), joiner=joiner).words[0]
            for _ in range(3)
            for child in (one, two, three)
        ]
    assert said == list(names) * 3


@pytest.mark.parametrize(
    ("argv", "error", "code"),
    [(("nothing",), errno.ENOENT, 127), (("/etc/passwd",), errno.EACCES, 126)],
)
def test_a_program_that_cannot_join_says_why(house, joiner, argv, error, code):
    with running(house.plan("sleep", "60")) as child:
        ran = run(joining(child, *argv), joiner=joiner)
    assert ran.failure == native.Failure(error, None)
    assert ran.end.exit_code in (code, None)  # it had ended, or was killed for having failed


def test_a_step_that_fails_on_the_way_in_is_named(house, joiner):
    bad = Step("chdir", "/nowhere", doing="go nowhere")
    with running(house.plan("sleep", "60")) as child:
        ran = run(joining(child, "true", steps=(bad,)), joiner=joiner)
    assert ran.failure == native.Failure(errno.ENOENT, bad)


def test_nobody_joins_the_dead(house, joiner):
    with running(house.plan("true")) as child:
        assert ends(child.pidfd)
        ran = run(joining(child, "true"), joiner=joiner)
    assert ran.failure is not None
    assert str(ran.failure.step) == "clone a child inside the container"
    assert ran.failure.errno == errno.ESRCH


def test_a_terminal_is_made_for_who_joins(house, joiner):
    pts = Step("mount", "/dev/pts", kind="devpts", data=b"newinstance\0ptmxmode=0666\0\0")
    with running(house.plan("sleep", "60", steps=(pts,))) as child:
        tty = (Step("setsid"), Step("tty", flags=33 << 16 | 77))
        plan = joining(child, "sh", "-c", "stty size; tty; ls /proc/self/fd | wc -w", steps=tty)
        with running(plan, joiner=joiner) as inside:
            said = all_of(inside.terminal)
    assert said.split() == [b"33", b"77", b"/dev/pts/0", b"4"]


def test_a_killed_joiner_is_followed_by_another(house, joiner):
    with running(house.plan("sleep", "60")) as child:
        assert run(joining(child, "echo", "1"), joiner=joiner).words == ["1"]
        signal.pidfd_send_signal(joiner._any._pidfd, signal.SIGKILL)
        assert ends(joiner._any._pidfd)
        assert run(joining(child, "echo", "2"), joiner=joiner).words == ["2"]


def test_a_joiner_that_dies_over_a_request_is_no_success(house, joiner):
    with running(house.plan("sleep", "60")) as child:
        assert run(joining(child, "true"), joiner=joiner).failure is None
        signal.pidfd_send_signal(joiner._any._pidfd, signal.SIGSTOP)
        null = os.open("/dev/null", os.O_RDWR)
        asked = joiner.spawn(joining(child, "true"), (null, null, null))
        os.close(null)
        signal.pidfd_send_signal(joiner._any._pidfd, signal.SIGKILL)
        failure = native.hear(asked)
    assert (failure.errno, asked.pidfd) == (errno.EPIPE, -1)


def test_a_request_that_is_too_large_is_refused_and_harms_nobody(house, joiner):
    with running(house.plan("sleep", "60")) as child:
        with pytest.raises(KernelError) as caught:
            run(joining(child, "echo", "x" * (17 << 20)), joiner=joiner)
        assert caught.value.errno == errno.E2BIG
        assert run(joining(child, "echo", "ok"), joiner=joiner).words == ["ok"]


def test_large_requests_come_whole(house, joiner):
    words = tuple(f"{n:0100}" for n in range(10_000))
    with running(house.plan("sleep", "60")) as child:
        plan = joining(
            child, "/bin/probe", *words, steps=(Step("rlimit", fd=3, data=b"\xff" * 16),)
        )
        assert tuple(run(plan, joiner=joiner).probe["arguments"][1:]) == words


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_joiner_can_be_closed_though_a_fork_of_its_engine_lives(house):
    made = native_joiner.Joiner()
    with running(house.plan("sleep", "60")) as child:
        assert run(joining(child, "true"), joiner=made).failure is None
    go, release = os.pipe()
    fork = os.fork()  # has a copy of our end of the joiner's socket
    if fork == 0:
        os.close(release)
        os.read(go, 1)
        os._exit(0)
    closing = threading.Thread(target=made.close)
    closing.start()
    closing.join(20)
    in_time = not closing.is_alive()
    os.close(release)
    os.close(go)
    os.waitpid(fork, 0)
    closing.join()
    assert in_time


# --- who dies with whom ---


@pytest.mark.parametrize("words", [(), ("init", "user")], ids=" ".join)
def test_all_of_it_dies_with_a_killed_owner(house, words):
    command = [sys.executable, "-m", "support.owner", house.base, house.lower, *words]
    pipe = subprocess.PIPE
    program = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=WITH_OUR_PATH)
    pidfds = []
    with program:
        pids = [int(word) for word in program.stdout.readline().split()]
        pidfds = [os.pidfd_open(pid) for pid in pids]
        program.kill()
    survived = []
    for pid, pidfd in zip(pids, pidfds, strict=True):
        if not ends(pidfd):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            survived.append(pid)
        os.close(pidfd)
    assert len(pids) == 3  # the container, who joined it, and the joiner
    assert survived == []


def test_a_child_whose_owner_is_gone_already_does_not_begin(house):
    gone = subprocess.Popen(["true"])
    pidfd = os.pidfd_open(gone.pid)
    gone.wait()
    tied = Step("pdeathsig", flags=9, fd=0, doing="tie its life to its owner's")
    plan = Plan(("true",), ENV, (*house.root(), Step("pivot"), tied), FRESH, fds=(pidfd,))
    ran = run(plan)
    os.close(pidfd)
    assert ran.failure == native.Failure(errno.ESRCH, tied)


# --- namespaces, mounts and trees without a child ---


def test_a_namespace_is_made_and_nobody_moves(house):
    here = os.readlink("/proc/self/ns/net")
    made = native.new_namespace(p.NEWNET, loopback=True)
    try:
        assert os.readlink(f"/proc/self/fd/{made}") not in (here, "")
        assert os.readlink("/proc/self/ns/net") == here
        plan = Plan(
            ("/bin/probe",),
            ENV,
            (
                Step("setns", fd=0, flags=p.NEWNET),
                *house.root(),
                PROC,
                Step("pivot"),
            ),
            FRESH & ~p.NEWNET,
            fds=(made,),
        )
        seen = run(plan).probe
        assert seen["namespaces"]["net"] == os.readlink(f"/proc/self/fd/{made}")
        assert (seen["loopback"], seen["links"]) == (1, ["lo"])
    finally:
        os.close(made)


def test_what_is_no_such_namespace_is_refused():
    with pytest.raises(KernelError):
        native.new_namespace(p.NEWPID)


@pytest.mark.parametrize("name", ["plain", "a:b", "a,b", "back\\slash", "sp ace", "x" * 250, "né"])
def test_layers_may_have_any_name(tmp_path, name):
    deep = tmp_path / name / ("y" * 200)
    for directory in ("one", "two", "upper", "work"):
        (deep / directory).mkdir(parents=True)
    (deep / "one" / "a").write_text("of one")
    (deep / "two" / "b").write_text("of two")
    root = native_mounts.overlay(
        (f"{deep}/one", f"{deep}/two"), f"{deep}/upper", f"{deep}/work", p.OVERLAY_VOLATILE
    )
    try:
        assert sorted(names_in(root)) == ["a", "b"]
        fd = os.open("c", os.O_CREAT | os.O_WRONLY, dir_fd=root)
        os.close(fd)
    finally:
        os.close(root)
    assert (deep / "upper" / "c").exists()


def test_there_may_be_hundreds_of_layers(tmp_path):
    layers = []
    for n in range(300):
        layer = tmp_path / f"{n}"
        layer.mkdir()
        (layer / f"from-{n}").touch()
        layers.append(str(layer))
    if RELEASE < (6, 7):  # overlayfs knows no lowerdir+
        with pytest.raises(KernelError, match="E2BIG"):
            native_mounts.overlay(tuple(layers))
        return
    root = native_mounts.overlay(tuple(layers))
    try:
        assert len(names_in(root)) == 300
    finally:
        os.close(root)


def test_a_layer_that_is_missing_is_named(tmp_path):
    with pytest.raises(KernelError) as caught:
        native_mounts.overlay((f"{tmp_path}/gone", str(tmp_path)))
    assert caught.value.errno == errno.ENOENT


def test_nothing_leads_out_of_a_root(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (root / "absolute").symlink_to("/etc/passwd")
    (root / "upwards").symlink_to("../../../../../../etc/passwd")
    (root / "magic").symlink_to("/proc/self/root/etc/passwd")
    (root / "round").symlink_to("round")
    fd = os.open(root, os.O_PATH | os.O_DIRECTORY)
    try:
        for name in ("absolute", "upwards", "magic", "/etc/passwd", "../etc/passwd", "round"):
            with pytest.raises(KernelError) as caught:
                native.open_in_root(fd, name, os.O_RDONLY)
            assert caught.value.errno in (errno.ENOENT, errno.ELOOP)
    finally:
        os.close(fd)


def test_a_tree_goes_however_deep_it_is(tmp_path):
    top = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    os.mkdir("tree", dir_fd=top)
    here = os.open("tree", os.O_RDONLY | os.O_DIRECTORY, dir_fd=top)
    for n in range(3_000):
        os.mkdir("d", dir_fd=here)
        if n % 1000 == 0:
            os.symlink("/etc", "link", dir_fd=here)
            os.mkdir("e", dir_fd=here)
        below = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    started = time.monotonic()
    native.remove_tree(top, "tree")
    assert os.listdir(top) == []
    assert time.monotonic() - started < 10
    native.remove_tree(top, "tree")  # nothing there is fine
    os.close(top)
    assert os.path.exists("/etc/passwd")


def test_a_link_is_removed_and_what_it_leads_to_stays(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    (tmp_path / "link").symlink_to("kept")
    top = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        native.remove_tree(top, "link")
        assert os.listdir(top) == ["kept"]
        assert os.listdir(tmp_path / "kept") == ["file"]
    finally:
        os.close(top)


def test_hearing_gives_up_on_what_is_no_word():
    import socket

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    r, w = os.pipe()
    sleeper = subprocess.Popen(["sleep", "60"])
    pidfd = os.pidfd_open(sleeper.pid)
    child = native.Child(sleeper.pid, pidfd, ours.detach(), Plan(("x",)))
    socket.send_fds(theirs, [b"short"], [r, w])
    theirs.close()
    try:
        failure = native.hear(child)
        assert failure.errno == errno.EBADMSG
        assert ends(pidfd)  # what says such things has been killed
    finally:
        for fd in (r, w, pidfd):
            os.close(fd)
        sleeper.wait()


def test_a_child_that_runs_cannot_pass_for_another(house):
    # a word that only the joiner may say, with a pidfd of somebody else
    import socket
    from struct import pack

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with running(house.plan("sleep", "60")) as real:
        mine = os.dup(real.pidfd)
        child = native.Child(real.pid, mine, ours.detach(), Plan(("x",)))
        other = os.pidfd_open(os.getpid())
        socket.send_fds(theirs, [pack("=5i", 2, 0, 0, 1, 0)], [other])
        theirs.close()
        os.close(other)
        assert native.hear(child) is None
        assert (child.pid, child.pidfd) == (real.pid, mine)
        os.close(mine)


def test_select_is_for_pidfds_too(house):
    with running(house.plan("true")) as child:
        assert select.select([child.pidfd], [], [], 20)[0] == [child.pidfd]
