"""The plan of a container: what makes it tight is the order of its steps."""

from __future__ import annotations

from struct import unpack

import pytest
from attrs import evolve
from hypothesis import given
from situations import (
    FILTER,
    IN_AT,
    IN_ROOT,
    MOUNTS,
    default_plan,
    each_situation,
    places,
    ulimit_lists,
)

from pyengine.containers.compile import compile_plan, has_home
from pyengine.containers.privilege_steps import rlimits
from pyengine.linux import plan as p
from pyengine.linux.capabilities import mask
from pyengine.model.spec import Ulimit

PRIVILEGES = (
    "bound own_stdio no_new_privs keepcaps groups ids caps pdeathsig seccomp caps".split()  # noqa: SIM905
)
USES_FD = frozenset(("setns", "cgroup", "borrow", "pdeathsig"))  # and a bind without a source


@each_situation
def test_the_host_s_mounts_are_out_of_reach_before_anything_is_mounted(situation):
    plan = compile_plan(*situation)
    (slave,) = places(plan, "slave")
    assert slave < min(places(plan, *MOUNTS))
    assert all(number < slave for number in places(plan, "unshare", "setns", "cgroup"))
    assert plan.unshare & p.NEWNS or any(
        step.op == "unshare" and step.flags & p.NEWNS for step in plan.steps[:slave]
    )


@each_situation
def test_the_root_stands_before_anything_is_put_into_it(situation):
    plan = compile_plan(*situation)
    (root,) = places(plan, "root")
    for number, step in enumerate(plan.steps):
        inside = step.op in IN_ROOT or (step.op in ("mount", "overlay") and step.target)
        if inside or step.op in IN_AT:
            assert number > root


@each_situation
def test_masks_come_after_every_other_mount_so_that_nothing_covers_them(situation):
    plan = compile_plan(*situation)
    covers = places(plan, "mask", "readonly")
    if covers:
        assert min(covers) > max(places(plan, "mount", "overlay", "bind", "bind_at", "borrow"))
    masked = [step.target for step in plan.steps if step.op == "mask"]
    readonly = [step.target for step in plan.steps if step.op == "readonly"]
    assert masked == list(situation[0].security.masked_paths)
    assert readonly == list(situation[0].security.readonly_paths)
    if masked and readonly:  # a read-only clone taken later would bring what is masked back
        assert max(places(plan, "readonly")) < min(places(plan, "mask"))


@each_situation
def test_the_mask_is_taken_from_our_own_devices_before_the_user_s_mounts(situation):
    plan = compile_plan(*situation)
    (null,) = places(plan, "null")
    assert plan.steps[null].source == ""
    user = {mount.target for mount in situation[0].mounts}
    for number, step in enumerate(plan.steps):
        if step.target in user and step.op in ("bind", "overlay"):
            assert number > null


@each_situation
def test_nothing_is_mounted_once_the_host_s_root_is_left(situation):
    plan = compile_plan(*situation)
    (pivot,) = places(plan, "pivot")
    assert max(places(plan, *MOUNTS, *IN_AT, "tty", "root", "null", "null_stdin")) < pivot
    assert len(places(plan, "readonly_root")) == situation[0].security.read_only
    assert all(number > pivot for number in places(plan, "readonly_root"))


@each_situation
def test_the_working_directory_is_entered_from_inside_and_before_ids_change(situation):
    plan = compile_plan(*situation)
    (chdir,), (pivot,), (ids,) = places(plan, "chdir"), places(plan, "pivot"), places(plan, "ids")
    assert pivot < chdir < ids
    assert plan.steps[chdir].target == situation[0].workdir


def last_steps(spec):
    """What follows the last of the privileges: only who is born among others still has to be."""
    if not spec.namespaces.pid.startswith("container:"):
        return ["caps"]
    return ["caps", "enter", "setsid", *(["ctty"] * spec.tty), "pdeathsig"]


@each_situation
def test_privileges_are_given_up_last_and_in_one_order(situation):
    spec, around = situation
    plan = compile_plan(spec, around)
    (bound,) = places(plan, "bound")
    order = iter(PRIVILEGES)
    caps = places(plan, "caps")[-1]
    # each once, none before another
    assert all(step.op in order for step in plan.steps[bound : caps + 1])
    assert all(number < bound for number in places(plan, "rlimit", "proc_write", "sysctl"))
    assert [step.op for step in plan.steps[caps:]] == last_steps(spec)


@each_situation
def test_the_filter_is_the_last_step_but_for_the_capabilities(situation):
    spec, around = situation
    plan = compile_plan(spec, around)
    filters = places(plan, "seccomp")
    assert len(filters) == (spec.security.seccomp is not None)
    for number in filters:
        assert [step.op for step in plan.steps[number + 1 :]] == last_steps(spec)
        step = plan.steps[number]
        assert (step.data, step.fd, step.flags) == (FILTER.program, 2, FILTER.flags)


@each_situation
def test_the_parent_death_signal_comes_after_the_ids_whose_change_would_clear_it(situation):
    plan = compile_plan(*situation)
    (deathsig,), (ids,) = places(plan, "pdeathsig"), places(plan, "ids")
    assert ids < deathsig
    assert plan.steps[deathsig].flags == 9


@each_situation
def test_a_terminal_is_made_in_the_container_s_own_devpts(situation):
    spec, around = situation
    plan = compile_plan(spec, around)
    made = places(plan, "tty")
    assert len(made) == spec.tty
    for number in made:
        step, before = plan.steps[number], plan.steps[number - 1]
        assert (before.op, before.kind) == ("mount", "devpts")
        assert step.flags == spec.console_size[0] << 16 | spec.console_size[1]
        own = "/dev" not in {mount.target for mount in spec.mounts}
        assert step.target == ("/dev/console" if own else "")


@each_situation
def test_a_program_that_is_kept_is_tied_to_nobody_once_it_runs(situation):
    spec, around = situation
    tied, kept = compile_plan(spec, around), compile_plan(spec, evolve(around, tied=False))
    shares = spec.namespaces.pid.startswith("container:")
    found = [step for step in kept.steps if step.op == "pdeathsig"]
    # while it is born it is tied to the joiner, which it has to take back unless it is born anew
    assert [(step.flags, step.fd) for step in found] == ([] if shares else [(0, -1)])
    other = [[step for step in plan.steps if step.op != "pdeathsig"] for plan in (tied, kept)]
    assert other[0] == other[1]


# --- who gets what ---


@each_situation
def test_every_descriptor_a_step_names_is_there(situation):
    spec, around = situation
    plan = compile_plan(spec, around)
    first = p.JOIN_FDS
    shares = spec.namespaces.pid.startswith("container:")
    for step in plan.steps:
        if shares and step.op == "pdeathsig":
            assert step.fd == -1  # it has none of these any more
        elif shares and (step.flags == p.NEWPID or step.kind == "proc"):
            assert (step.op, step.fd) in (("setns", p.JOIN_TARGET), ("borrow", p.JOIN_TARGET))
        elif step.op in USES_FD or (step.op == "bind" and not step.source):
            assert first <= step.fd < first + len(plan.fds)
        elif step.op == "bind":
            assert step.fd == -1
    tasks = [step.fd - first for step in plan.steps if step.op == "cgroup"]
    assert tasks == list(range(1, 1 + around.tasks))
    (deathsig,) = (step for step in plan.steps if step.op == "pdeathsig")
    assert deathsig.fd == (-1 if shares else first)  # the owner's pidfd


@each_situation
def test_targets_are_absolute_and_names_are_plain(situation):
    plan = compile_plan(*situation)
    for step in plan.steps:
        if step.op in IN_ROOT and (step.target or step.kind != "proc"):  # that may be nowhere
            assert step.target.startswith("/")
        if step.op in IN_AT:
            parts = step.target.split("/")
            assert all(part not in ("", ".", "..") for part in parts)
        if step.op in ("sysctl", "proc_write"):
            assert ".." not in step.target
            assert not step.target.startswith("/")


@each_situation
def test_nobody_ends_with_more_than_was_asked_and_only_root_with_that(situation):
    spec, around = situation
    plan = compile_plan(spec, around)
    wanted = mask(spec.security.capabilities)
    (bound,) = (step for step in plan.steps if step.op == "bound")
    assert bound.flags == wanted
    *between, last = (step for step in plan.steps if step.op == "caps")
    assert last.flags == (wanted if around.identity.uid == 0 else 0)
    if between:  # a filter wants CAP_SYS_ADMIN of a user who is not root, and nothing else
        (kept,) = between
        assert kept.flags == mask(("CAP_SYS_ADMIN",))
        assert around.identity.uid != 0
        assert not spec.security.no_new_privileges
    assert len(places(plan, "no_new_privs")) == spec.security.no_new_privileges


@each_situation
def test_groups_and_ids_are_always_set(situation):
    spec, around = situation
    plan = compile_plan(spec, around)
    (groups,) = (step for step in plan.steps if step.op == "groups")
    assert unpack(f"={groups.flags}I", groups.data) == around.identity.groups
    (ids,) = (step for step in plan.steps if step.op == "ids")
    assert (ids.flags, ids.fd % 2**32) == (around.identity.uid, around.identity.gid)
    assert places(plan, "groups") < places(plan, "ids")


@each_situation
def test_home_is_the_account_s_unless_somebody_has_said_another(situation):
    spec, around = situation
    env = compile_plan(spec, around).env
    said = [entry for entry in env if entry.startswith("HOME=")]
    assert said[-1] == ("HOME=/there" if "HOME=/there" in spec.env else "HOME=/root")
    assert env[: len(spec.env)] == spec.env


@pytest.mark.parametrize(
    ("env", "expected"),
    [((), False), (("HOME=",), False), (("HOME=/x",), True), (("XHOME=/x", "HOMER=1"), False)],
)
def test_an_empty_home_says_nothing(env, expected):
    assert has_home(env) is expected


# --- limits ---


@given(ulimit_lists)
def test_each_limit_is_one_step_and_minus_one_has_no_end(limits):
    steps = list(rlimits(limits))
    assert len(steps) == len(limits)
    for step, limit in zip(steps, limits, strict=True):
        soft, hard = unpack("=2Q", step.data)
        assert soft == limit.soft % 2**64
        assert hard == limit.hard % 2**64
        assert step.op == "rlimit"


def test_limits_have_the_kernel_s_numbers():
    import resource

    names = ("cpu", "fsize", "data", "stack", "core", "rss", "nproc", "nofile", "memlock", "as")
    for name in names:
        (step,) = rlimits((Ulimit(name, 1, 2),))
        assert step.fd == getattr(resource, f"RLIMIT_{name.upper()}")


def test_the_oom_score_is_written_before_the_right_to_is_given_up():
    plan = default_plan(oom_score_adj=-500)
    (score,) = places(plan, "proc_write")
    assert plan.steps[score].data == b"-500"
    assert score < min(places(plan, "bound"))
    assert not places(default_plan(), "proc_write")
