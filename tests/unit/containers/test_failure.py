"""A step that failed becomes the error that tells its reader what to do."""

from __future__ import annotations

import errno
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyengine.containers.failure import join_error, start_error
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
from pyengine.linux.plan import OPS, Step
from pyengine.model.spec import ContainerSpec

SPEC = ContainerSpec("0" * 64, "web", "host:", ("serve", "--now"), workdir="/srv")
STEPS = {
    "chdir": Step("chdir", "/srv", doing="enter the working directory '/srv'"),
    "bind_at": Step("bind_at", "/etc/hosts", "hosts"),
    "bind": Step("bind", "/data", "/src", doing="mount /src on /data"),
    "mount": Step("mount", "/t", kind="tmpfs", data=b"source=tmpfs\0size=x\0\0"),
    "overlay": Step("overlay", "/view", "/src\0", doing="mount a throw-away view"),
    "borrow": Step("borrow", "/dev/shm", "/dev/shm", doing="share its /dev/shm"),
    "sysctl": Step("sysctl", "net/core/somaxconn", data=b"many", doing="set sysctl"),
    "rlimit": Step("rlimit", doing="limit nofile to 5:9"),
}
numbers = st.sampled_from(sorted(errno.errorcode))


def failed(number: int, op: str | None = None, **changes: str) -> EngineError:
    """What a failure of this step, or of the program itself, becomes."""
    step = None if op is None else STEPS.get(op, Step(op, **changes))
    return start_error(Failure(number, step), SPEC)


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ENOTDIR])
def test_a_program_that_is_not_there_ends_with_127(number):
    error = failed(number)
    assert isinstance(error, ExecutableNotFound)
    assert error.exit_code == 127
    assert "'serve': executable file not found in $PATH" in str(error)


@pytest.mark.parametrize(
    ("number", "why"),
    [
        (errno.EACCES, "permission denied"),
        (errno.EPERM, "permission denied"),
        (errno.EISDIR, "permission denied"),
        (errno.ENOEXEC, "exec format error"),
        (errno.ELOOP, "too many levels of symbolic links"),
        (errno.ELIBACC, "its interpreter (after #!, or the loader of its format) is missing"),
        (errno.ETXTBSY, "Text file busy"),
        (errno.ENOMEM, "Cannot allocate memory"),
        (errno.ENOSPC, "No space left on device"),
    ],
)
def test_a_program_that_may_not_run_ends_with_126_and_its_reason(number, why):
    error = failed(number)
    assert isinstance(error, NotExecutable)
    assert error.exit_code == 126
    assert "'serve'" in str(error)
    assert why in str(error)


def test_another_architecture_is_suspected_by_name():
    assert "architecture" in str(failed(errno.ENOEXEC))


def test_too_many_arguments_are_the_caller_s_to_shorten():
    error = failed(errno.E2BIG)
    assert isinstance(error, InvalidRequest)
    assert error.given == ("serve", "--now")
    assert len(str(join_error(Failure(errno.E2BIG, None), ("x" * 10**6,), "/"))) < 500


@pytest.mark.parametrize("op", sorted(OPS))
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_as_such_whoever_finds_it(op, number):
    error = failed(number, op, target="/upper")
    assert isinstance(error, NoSpace)
    assert error.path
    assert error.why


@pytest.mark.parametrize(
    ("number", "why"),
    [
        (errno.ENOTDIR, "not a directory"),
        (errno.ENOENT, "does not exist"),
        (errno.ELOOP, "out of the container"),
        (errno.EXDEV, "outside the container"),
        (errno.EACCES, "permission denied"),
        (errno.EROFS, "the root is read-only"),
    ],
)
def test_a_working_directory_that_cannot_be_entered_is_named_with_its_reason(number, why):
    error = failed(number, "chdir")
    assert isinstance(error, InvalidRequest)
    assert (error.what, error.given) == ("workdir", "/srv")
    assert why in error.why


def test_the_working_directory_named_is_the_one_that_was_asked_for():
    failure = Failure(errno.ENOENT, STEPS["chdir"])
    assert join_error(failure, ("sh",), "/asked").given == "/asked"


@pytest.mark.parametrize("op", ["bind", "overlay"])
def test_a_source_that_went_away_is_named(op):
    error = failed(errno.ENOENT, op)
    assert isinstance(error, InvalidRequest)
    assert (error.what, error.given) == ("mount source", "/src")


@pytest.mark.parametrize("op", ["bind", "bind_at", "mount", "overlay"])
@pytest.mark.parametrize(
    ("number", "why"),
    [(errno.ENOTDIR, "a file cannot be mounted on a directory"), (errno.ELOOP, "in a circle")],
)
def test_a_target_that_cannot_be_mounted_on_is_named(op, number, why):
    error = failed(number, op)
    assert isinstance(error, InvalidRequest)
    assert (error.what, error.given) == ("mount target", STEPS[op].target)
    assert why in error.why


def test_a_name_file_whose_place_cannot_be_made_is_no_missing_source():
    assert isinstance(failed(errno.ENOENT, "bind_at"), KernelError)


def test_options_that_a_file_system_refuses_are_quoted():
    error = failed(errno.EINVAL, "mount")
    assert isinstance(error, InvalidRequest)
    assert (error.what, error.given) == ("tmpfs options", "source=tmpfs,size=x")


def test_shared_memory_that_was_covered_cannot_be_shared():
    assert isinstance(failed(errno.EINVAL, "borrow"), InvalidRequest)


def test_a_parameter_this_kernel_lacks_is_unsupported_and_a_bad_value_is_not_valid():
    missing = failed(errno.ENOENT, "sysctl")
    assert isinstance(missing, Unsupported)
    assert "net.core.somaxconn" in str(missing)
    for number in (errno.EINVAL, errno.ERANGE):
        wrong = failed(number, "sysctl")
        assert isinstance(wrong, InvalidRequest)
        assert wrong.given == "many"


def test_a_limit_that_cannot_be_set_is_the_caller_s_and_one_above_ours_needs_a_right():
    wrong = failed(errno.EINVAL, "rlimit")
    assert isinstance(wrong, InvalidRequest)
    assert wrong.given == "limit nofile to 5:9"
    above = failed(errno.EPERM, "rlimit")
    assert isinstance(above, NotPermitted)
    assert "limit nofile to 5:9" in str(above)
    assert "CAP_SYS_RESOURCE" in str(above)


@given(numbers, st.sampled_from((None, *sorted(OPS))))
def test_every_failure_of_every_step_has_an_error_that_says_something(number, op):
    error = failed(number, op, doing="")
    assert isinstance(error, EngineError)
    assert len(str(error)) > 10
    assert "\0" not in str(error)
    assert error.exit_code in (125, 126, 127)
    copy = pickle.loads(pickle.dumps(error))  # it may cross to another process
    assert (type(copy), str(copy)) == (type(error), str(error))


@given(numbers, st.sampled_from(sorted(OPS)))
def test_an_unexplained_failure_says_what_was_tried_and_the_kernel_s_word(number, op):
    step = Step(op, "/target", doing="do what was asked")
    error = start_error(Failure(number, step), SPEC)
    if isinstance(error, KernelError):
        assert str(error).startswith("could not do what was asked: ")
        assert errno.errorcode[number] in str(error)
        assert error.errno == number
