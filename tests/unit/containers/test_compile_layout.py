"""Plans share their steps and are laid out for C; who joins a container has one too."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from situations import (
    IDENTITY,
    MOUNTS,
    default_plan,
    each_situation,
    identities,
    modest,
    places,
    situations,
    specs,
)

from pyengine.containers import mount_steps
from pyengine.containers.compile import compile_plan
from pyengine.containers.identity import Identity
from pyengine.containers.join_options import JoinOptions
from pyengine.containers.join_plans import (
    compile_join,
    environment,
    joined_namespaces,
)
from pyengine.containers.privilege_steps import privileges
from pyengine.linux import plan as p
from pyengine.linux.capabilities import NAMES, mask
from pyengine.linux.plan import OPS, Block, Step, encode
from pyengine.model.spec import Security

# --- what is shared between plans, and laid out for C ---


@each_situation
def test_steps_that_plans_share_are_those_each_would_have_had(situation):
    spec, around = situation
    first = p.JOIN_FDS
    shared = mount_steps.mount_block(spec, around, first)
    assert shared.steps == tuple(mount_steps._mount_steps(spec, around, first))


@given(situations(), situations())
@modest
def test_a_plan_does_not_depend_on_those_made_before(one, other):
    first = compile_plan(*one)
    compile_plan(*other)
    assert compile_plan(*one).steps == first.steps


@each_situation
def test_every_plan_can_be_laid_out_and_reads_back_as_it_was(situation):
    plan = compile_plan(*situation)
    packed = encode(plan)
    head = p._HEAD.unpack_from(packed)
    abi, size, at, count, argv_at, n_argv, envp_at, n_envp = head
    assert (abi, size, count) == (p.ABI, len(packed), len(plan.steps))
    assert (n_argv, n_envp) == (len(plan.argv), len(plan.env))

    def text(offset: int) -> str:
        end = packed.index(b"\0", offset)
        return packed[offset:end].decode(errors="surrogateescape") if offset else ""

    for number, step in enumerate(plan.steps):
        op, fd, flags, source, target, kind, data = p._STEP.unpack_from(
            packed, at + number * p._STEP.size
        )
        assert (op, fd, flags) == (OPS[step.op], step.fd, step.flags)
        assert text(source) == step.source.split("\0")[0]
        assert text(target) == step.target
        assert text(kind) == step.kind
        assert data % 8 == 0
        assert packed[data : data + len(step.data)] == step.data or not step.data
    for words, offset in ((plan.argv, argv_at), (plan.env, envp_at)):
        for word in words:
            raw = word.encode(errors="surrogateescape") + b"\0"
            assert packed[offset : offset + len(raw)] == raw
            offset += len(raw)
    assert packed.endswith(b"\0")


def test_blocks_are_shared_by_containers_that_ask_for_nothing():
    one, other = default_plan(), default_plan(hostname="other")
    blocks = [[part for part in plan.parts if isinstance(part, Block)] for plan in (one, other)]
    assert all(a is b for a, b in zip(*blocks, strict=True))


# --- joining ---

join_options = st.builds(
    JoinOptions,
    argv=st.just(("sh",)),
    env=st.lists(
        st.tuples(st.sampled_from(("A", "PATH", "HOME")), st.sampled_from((None, "", "x"))),
        max_size=3,
    ).map(tuple),
    workdir=st.sampled_from(("", "/tmp", "/proc/self/fd/7")),
    tty=st.booleans(),
    open_stdin=st.booleans(),
    privileged=st.booleans(),
)


@given(specs, join_options, identities, st.integers(0, 3), st.booleans())
@modest
def test_who_joins_enters_first_and_gives_up_last(spec, options, identity, tasks, ushered):
    held = mask(NAMES[:30])
    plan = compile_join(spec, options, identity, tasks=tasks, held=held, ushered=ushered)
    (enter,), (chdir,), (bound,) = (places(plan, op) for op in ("setns", "chdir", "bound"))
    # what is outside is reached for before the container is entered, and never again
    assert all(number < enter for number in places(plan, "cgroup", "proc_write"))
    assert enter < chdir < bound
    assert not places(plan, *MOUNTS, "unshare", "pivot", "sysctl", "slave")
    step = plan.steps[enter]
    assert step.fd == p.JOIN_TARGET
    assert step.flags & p.NEWNS
    assert bool(step.flags & p.NEWPID) == ushered
    joined = joined_namespaces(p.NEWNS, spec, ushered=ushered)
    assert bool(joined & p.NEWPID) == (spec.namespaces.pid != "host" and not ushered)
    (deathsig,) = (one for one in plan.steps if one.op == "pdeathsig")
    for one in (*(s for s in plan.steps if s.op == "cgroup"), *([deathsig] * (not ushered))):
        assert p.JOIN_FDS <= one.fd <= p.JOIN_FDS + tasks
    # who is ushered in has, when it can be seen, nothing any more that its neighbours have not
    last = [step.op for step in plan.steps[places(plan, "caps")[-1] :]]
    session = ["setsid", *(["tty", "ctty"] * options.tty)]
    assert last == (["caps", "enter", *session, "pdeathsig"] if ushered else ["caps"])
    assert not ushered or deathsig.fd == -1
    # CVE-2024-21626: never make a working directory for who joins
    assert plan.steps[chdir].flags == 0
    assert plan.steps[chdir].target == (options.workdir or spec.workdir)


@given(specs, join_options, identities)
@modest
def test_who_joins_gets_no_more_than_the_container_has_unless_privileged(spec, options, identity):
    held = mask(NAMES[:30])
    plan = compile_join(spec, options, identity, tasks=0, held=held, ushered=False)
    wanted = held if options.privileged else mask(spec.security.capabilities)
    (bound,) = (s for s in plan.steps if s.op == "bound")
    assert bound.flags == wanted
    assert plan.steps[-1].flags == (wanted if identity.uid == 0 else 0)
    assert len(places(plan, "seccomp")) == (spec.security.seccomp is not None)
    assert len(places(plan, "tty")) == options.tty
    assert len(places(plan, "null_stdin")) == (not options.tty and not options.open_stdin)


@given(specs, join_options)
@modest
def test_who_joins_sees_the_container_s_variables_and_what_was_asked(spec, options):
    env = environment(spec, options, IDENTITY)
    found = dict(entry.partition("=")[::2] for entry in env)
    asked = dict(options.env)
    for name, value in asked.items():
        if value is not None and (name, value) != ("HOME", ""):
            assert found[name] == value
        elif value is None and name != "HOME":
            assert name not in found
    assert found["HOME"]
    if options.tty:
        assert "TERM" in found


def test_privileges_are_remembered_apart_for_each_who():
    one = privileges(Security(), Identity(0), None, owner=0, own_stdio=True)
    other = privileges(Security(), Identity(1), None, owner=0, own_stdio=True)
    joined = privileges(Security(), Identity(0), None, owner=2, own_stdio=True, capabilities=0)
    assert len({one.steps, other.steps, joined.steps}) == 3
    assert Step("pdeathsig", flags=9, fd=2, doing="tie its life to its owner's") in joined.steps
