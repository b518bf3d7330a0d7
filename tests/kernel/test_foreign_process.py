"""A fork of the host's program is told that nothing is its own, whatever it asks."""

from __future__ import annotations

import copy
import inspect
import json
import multiprocessing
import os
import pickle
import signal

import pytest
from strangers import Stranger

import pyengine
from pyengine import (
    Container,
    ContainerCollection,
    Engine,
    ImageCollection,
    Process,
    Unsupported,
)

pytestmark = pytest.mark.kernel

HARMLESS = {
    "Container.short_id": "a part of its id",
    "Engine.root": "a text",
    "Engine.version": "looks at nothing of this engine",
    "Engine.close": "nothing is its own, so there is nothing to close",
    "Engine.__exit__": "as close",
    "Engine.__enter__": "answers itself",
    "Container.__enter__": "answers itself",
    "Process.__enter__": "answers itself",
}

SAMPLES = {
    "image": "host:",
    "command": "true",
    "argv": "true",
    "name_or_id": "web",
    "reference": "web",
    "images": "web",
    "source": b"",
    "destination": "/nowhere",
    "term": "web",
    "container": "web",
    "new": "other",
    "rows": 24,
    "columns": 80,
    "kind": None,
    "error": None,
    "trace": None,
}
"""What the methods are called with; a parameter that is not here gets None."""


def questions(thing):
    """Every public thing that can be asked of *thing*: its name, and the question."""
    kind = type(thing)
    for name, found in vars(kind).items():
        is_protocol = name in ("__iter__", "__contains__", "__enter__", "__exit__")
        if name.startswith("_") and not is_protocol:
            continue
        if isinstance(found, property):
            yield f"{kind.__name__}.{name}", lambda name=name: getattr(thing, name)
        elif inspect.isfunction(found):
            yield f"{kind.__name__}.{name}", lambda name=name, found=found: ask(thing, name, found)


def ask(thing, name, method):
    needed = [
        SAMPLES.get(parameter.name)
        for parameter in list(inspect.signature(method).parameters.values())[1:]
        if parameter.default is parameter.empty
        and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    answer = getattr(thing, name)(*needed)
    if inspect.isgenerator(answer):
        next(answer)
    return answer


def in_a_fork(work):
    """What *work* answers in a forked child, which ends without a word to anybody."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(60)
            os.write(write, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        told = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    return json.loads(told)


def outcomes(things):
    told = {}
    for thing in things:
        for name, question in questions(thing):
            try:
                question()
                told[name] = "nothing was raised"
            except Exception as error:  # noqa: BLE001
                told[name] = type(error).__name__
    return told


def test_everything_public_raises_foreign_process_in_a_fork_and_harms_nothing(engine, image):
    container = engine.start(image, "cat", stdin_open=True, name="web")
    process = container.popen("cat", stdin=True)
    events = engine.events(timeout=20)
    told = in_a_fork(
        lambda: outcomes([engine, engine.containers, engine.images, container, process])
    )
    assert {name.partition(".")[0] for name in told} == {
        kind.__name__ for kind in (Container, ContainerCollection, Engine, ImageCollection, Process)
    }
    others = {name: what for name, what in told.items() if what != "ForeignProcess"}
    silent = {name: what for name, what in others.items() if what != "Unsupported"}
    assert silent == dict.fromkeys(HARMLESS, "nothing was raised")
    # and here everything goes on
    assert container.status == "running"
    process.stdin.write(b"still here\n")
    assert process.stdout.readline() == b"still here\n"
    assert container.exec(["echo", "hi"]).stdout == "hi\n"
    assert next(events).action.startswith("exec_create")
    process.close()
    events.close()


def test_what_is_not_built_is_not_built_here_either(engine, image):
    # so that a method that is built one day cannot hide among those of the test above
    container = engine.create(image, "true")
    names = {"fork", "snapshot", "export", "ports"}
    for name, question in questions(container):
        if name.partition(".")[2] in names:
            with pytest.raises(Unsupported):
                question()


def test_a_stream_of_events_is_not_read_by_a_fork(engine, image):
    events = engine.events(timeout=20)

    def listen():
        try:
            next(events)
        except pyengine.ForeignProcess as error:
            return str(error)
        return ""

    assert f"belongs to process {os.getpid()}" in in_a_fork(listen)
    engine.create(image, "true")
    assert next(events).action == "create"
    events.close()


@pytest.mark.parametrize("what", ["engine", "containers", "container", "process"])
def test_handles_cannot_be_sent_to_another_process_and_say_what_can(engine, image, what):
    container = engine.start(image, "sleep 99")
    process = container.popen("cat", stdin=True)
    handles = {
        "engine": engine,
        "containers": engine.containers,
        "container": container,
        "process": process,
    }
    with pytest.raises(Unsupported, match=r"engine\.containers\.get\(id\)"):
        pickle.dumps(handles[what])
    process.close()


def test_a_copied_handle_is_the_same_container(engine, image):
    container = engine.create(image, "true")
    assert copy.copy(container) == copy.deepcopy(container) == container
    assert copy.deepcopy([container])[0].status == "created"


def use_an_engine_of_its_own(root, image, container_id, tell):
    try:
        with pyengine.Engine(root=root) as engine:
            told = engine.run(image, ["sh", "-c", "exit 42"]).exit_code
            other = engine.containers.get(container_id)
            tell.send((told, other.exec(["echo", "hi"]).stdout, other.name))
    except BaseException as error:  # noqa: BLE001
        tell.send(repr(error))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_of_multiprocessing_use_engines_of_their_own(engine, image, method):
    container = engine.start(image, "sleep 99", name="web")
    context = multiprocessing.get_context(method)
    hear, tell = context.Pipe(duplex=False)
    worker = context.Process(
        target=use_an_engine_of_its_own, args=(engine.root, image, container.id, tell)
    )
    worker.start()
    told = hear.recv()
    worker.join(30)
    exit_code = worker.exitcode
    worker.close()
    hear.close()
    tell.close()
    stop_helpers()
    assert (told, exit_code) == ((42, "hi\n", "web"), 0)
    assert container.exec("true")
    assert [one.name for one in engine.containers.list(all=True)] == ["web"]


def stop_helpers():
    """multiprocessing keeps two processes of its own; they are no leak of ours."""
    from multiprocessing import forkserver, resource_tracker

    forkserver._forkserver._stop()
    resource_tracker._resource_tracker._stop()


def test_a_container_is_passed_on_by_its_id(engine, image):
    container = engine.start(image, "sleep 99")
    with Stranger(engine.root, image) as stranger:
        asked = f"engine.containers.get({container.id!r}).exec(['echo', 'hi']).stdout"
        assert stranger.ask(asked) == "hi\n"
