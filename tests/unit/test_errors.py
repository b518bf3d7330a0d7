"""Errors are facts: they read as sentences, and cross to other processes as they are."""

from __future__ import annotations

import pickle

import pytest

from pyengine import errors as e
from pyengine.model.result import Result

FAILED = Result(3, b"out\n", b"the reason\n")
ERRORS = (
    e.InvalidRequest("memory", "1m", "at least 6m", "below the minimum"),
    e.NotFound("x", "a hint"),
    e.ImageNotFound("alpine:3"),
    e.ContainerNotFound("web"),
    e.NetworkNotFound("net"),
    e.VolumeNotFound("data"),
    e.ExecutableNotFound("sh", "add it"),
    e.AlreadyExists("container", "/web", "4f2a"),
    e.InUse("volume", "data", ("web", "db")),
    e.PortInUse("port", "80"),
    e.WrongState("web", "exited", "pause", "start it"),
    e.NotPermitted("mount", "no root", "become root"),
    e.NotExecutable("/x"),
    e.Unsupported("x", "not built", "use y"),
    e.InvalidContent("manifest", "it has no layers", "sha256:c0ffee", "alpine:3"),
    e.RegistryError("ghcr.io", "says no"),
    e.RegistryError("ghcr.io", "says no", "ghcr.io/a/b:1", "sha256:12", "ask again"),
    e.Unauthorized("ghcr.io"),
    e.RateLimited("ghcr.io", "too often", "ghcr.io/a/b:1", retry_after=30.0),
    e.DigestMismatch("ghcr.io"),
    e.RegistryUnavailable("ghcr.io"),
    e.BuildFailed("base", "RUN false", "Dockerfile", 7, FAILED),
    e.ProgramFailed(FAILED),
    e.OomKilled(FAILED),
    e.TimedOut("running", 1.5, "out", "err"),
    e.NotReady("port 80", "its log"),
    e.EngineClosed(),
    e.ForeignProcess(42),
    e.StoreError("/x", "is damaged", "remove it"),
    e.NoSpace("/x", "no space left"),
    e.KernelError(2, "open /x", "make it"),
)
EVERY = {name for name in e.__all__ if name != "EngineError"}


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_crosses_to_another_process_as_it_is(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)
    assert again.exit_code == error.exit_code


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_message_is_one_sentence_of_its_facts(error):
    text = str(error)
    assert text
    assert not text.endswith(".")
    facts = [fact for fact in vars(error).values() if isinstance(fact, str) and fact]
    shown = type(error) not in (e.TimedOut, e.OomKilled)  # what they hold is for who looks at it
    assert [fact for fact in facts if shown and fact not in text] == []


def test_every_error_there_is_has_been_looked_at():
    assert {type(error).__name__ for error in ERRORS} == EVERY


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (e.InvalidRequest, ValueError),
        (e.NotFound, LookupError),
        (e.PortInUse, OSError),
        (e.NotPermitted, PermissionError),
        (e.TimedOut, TimeoutError),
        (e.KernelError, OSError),
    ],
)
def test_errors_are_also_those_of_python(kind, builtin):
    assert issubclass(kind, builtin)
    assert issubclass(kind, e.EngineError)


def test_exit_codes_are_those_of_docker_run():
    # O44
    found = {type(error).__name__: error.exit_code for error in ERRORS}
    special = {"NotExecutable": 126, "ExecutableNotFound": 127, "ProgramFailed": 3, "OomKilled": 3}
    assert found == {**dict.fromkeys(EVERY, 125), **special}


def test_words_that_docker_s_clients_look_for_are_there():
    # pitfall 13
    assert str(e.ImageNotFound("x:1")) == "No such image: x:1"
    assert "executable file not found in $PATH" in str(e.ExecutableNotFound("x"))
    assert "no such file or directory" in str(e.ExecutableNotFound("/x"))
    assert "permission denied" in str(e.NotExecutable("/x"))


def test_a_giant_value_does_not_fill_the_message():
    assert len(str(e.InvalidRequest("x", "y" * 100_000))) < 400
    assert len(str(e.ProgramFailed(Result(1, b"", b"z" * 100_000)))) < 700
    assert len(str(e.NotReady("x", "z" * 100_000))) < 700
