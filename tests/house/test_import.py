"""``import pyengine`` costs nothing and touches nothing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from source_tree import HOME

# What a program that only imports the name must not pay for.
HEAVY = {
    "_cffi_backend",
    "asyncio",
    "attr",
    "cffi",
    "ctypes",
    "http",
    "inspect",
    "json",
    "logging",
    "multiprocessing",
    "pyengine._native",
    "socket",
    "ssl",
    "subprocess",
    "tempfile",
    "urllib",
    "urllib3",
}

# Runs in an interpreter of its own: notes every file that the import opens, except for reading
# code, and every thread, descriptor and module that is there afterwards.
OBSERVER = """
import os, sys
opened, watching = [], False

def watch(event, arguments):
    if watching and event in ("open", "socket.__new__", "subprocess.Popen", "os.putenv"):
        opened.append(f"{event} {arguments[0]}")

sys.addaudithook(watch)
before = {"modules": set(sys.modules), "fds": os.listdir("/proc/self/fd"), "env": dict(os.environ)}
watching = True
import pyengine
watching = False
code = (".py", ".pyc", ".so")
found = {
    "opened": [what for what in opened if not what.endswith(code)],
    "modules": sorted(set(sys.modules) - before["modules"]),
    "threads": len(os.listdir("/proc/self/task")),
    "fds": len(os.listdir("/proc/self/fd")) - len(before["fds"]),
    "environment": dict(os.environ) == before["env"],
}
import json, signal, logging, atexit
found["handlers"] = [str(signal.getsignal(number)) for number in signal.valid_signals()
                     if callable(signal.getsignal(number))
                     and signal.getsignal(number) is not signal.default_int_handler]
found["loggers"] = len(logging.getLogger().handlers)
found["at_exit"] = atexit._ncallbacks()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def observed():
    done = subprocess.run(
        [sys.executable, "-c", OBSERVER], cwd=HOME, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_importing_opens_no_file_but_code(observed):
    assert observed["opened"] == []
    assert observed["fds"] == 0


def test_importing_starts_no_thread(observed):
    assert observed["threads"] == 1


def test_importing_brings_nothing_heavy(observed):
    assert HEAVY & set(observed["modules"]) == set()


def test_importing_changes_nothing_of_its_host(observed):
    assert observed["environment"]
    assert observed["handlers"] == []
    assert observed["loggers"] == 0


def test_a_public_name_brings_its_module_when_it_is_used():
    program = (
        "import sys, pyengine; assert 'pyengine.errors' not in sys.modules; "
        "pyengine.EngineError; assert 'pyengine.errors' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], cwd=HOME, check=True)


def test_who_only_lists_containers_imports_nothing_that_starts_them():
    code = "import sys, pyengine.engine, pyengine.cli.listing; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=HOME, capture_output=True, text=True, check=True
    )
    workshops = {f"pyengine.containers.{name}" for name in ("birth", "compile", "making", "spec")}
    assert workshops & set(done.stdout.split()) == set()
