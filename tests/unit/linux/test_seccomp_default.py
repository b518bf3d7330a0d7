"""The filter of the usual container is at hand, and is what the compiler would make.

Run as a program, this file writes the filter anew, into pyengine/linux/seccomp_default.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from base64 import b64encode
from pathlib import Path

import pytest
from seccomp_machine import ALLOW, DATA, EPERM, table, verdict

from pyengine.errors import InvalidRequest
from pyengine.linux import seccomp, seccomp_default
from pyengine.linux.capabilities import DEFAULT, NAMES
from pyengine.linux.seccomp import Filter, compile_profile, default_profile, filter_for

MACHINES = ("x86_64", "aarch64")
PROFILE = json.loads((DATA / "seccomp.json").read_text())
MARK = "# what follows is written by the test\n"


def written() -> str:
    """The end of seccomp_default.py."""
    rules = default_profile().rules
    asked = sorted({name for rule in rules for name in asked_by(rule)})
    versions = [one for rule in rules for one in (rule.includes.kernel, rule.excludes.kernel)]
    newest = max(one for one in versions if one)
    granted = sorted(set(asked) & set(DEFAULT))
    names = textwrap.fill(" ".join(asked), 92, initial_indent="    ", subsequent_indent="    ")
    parts = [
        MARK,
        f"_KERNEL = {newest}  # the newest that a rule asks for",
        "_ASKED = frozenset(  # the capabilities that a rule asks for",
        f'    """\n{names}\n    """.split()  # noqa: SIM905',
        ")",
        f"_GRANTED = frozenset({granted!r})  # those of them that are there".replace("'", '"'),
        "_PROGRAMS = {",
    ]
    for machine in MACHINES:
        program = compile_profile(PROFILE, DEFAULT, machine, newest).program
        text = textwrap.fill(
            b64encode(program).decode(), 90, initial_indent="    ", subsequent_indent="    "
        )
        parts.append(f'    "{machine}": """\n{text}\n    """,')
    return "\n".join((*parts, "}", ""))


def asked_by(rule) -> frozenset[str]:
    """The capabilities that decide whether *rule* counts."""
    return rule.includes.capabilities | rule.excludes.capabilities


def test_the_filter_at_hand_is_what_the_compiler_makes():
    source = Path(seccomp_default.__file__).read_text()
    assert source.endswith(written())


@pytest.mark.parametrize("machine", MACHINES)
def test_the_filter_at_hand_is_taken_only_where_it_is_right(machine):
    sets = [DEFAULT, (), NAMES, ("CAP_SYS_CHROOT",), (*DEFAULT, "CAP_NET_ADMIN")]
    sets += [(*DEFAULT, name) for name in NAMES]
    sets += [tuple(one for one in DEFAULT if one != name) for name in DEFAULT]
    taken = 0
    for capabilities in sets:
        for kernel in ((4, 7), (4, 8), (6, 18)):
            ready = seccomp_default.program(machine, frozenset(capabilities), kernel)
            made = compile_profile(PROFILE, capabilities, machine, kernel)
            taken += ready is not None
            assert ready in (None, made.program)
            assert made.flags == seccomp_default.FLAGS
    assert taken > len(sets)
    assert seccomp_default.program("riscv64", frozenset(DEFAULT), (6, 1)) is None


def test_a_filter_is_made_once():
    assert filter_for("default", DEFAULT) is filter_for("default", frozenset(DEFAULT))
    text = json.dumps({"defaultAction": "SCMP_ACT_ALLOW"})
    assert filter_for(text, ()) is filter_for(text, ())
    assert filter_for(None, DEFAULT) is None


def test_a_filter_is_for_this_machine():
    machine, release = os.uname().machine, os.uname().release
    kernel = tuple(int(one) for one in release.split(".")[:2])
    for capabilities in (DEFAULT, ("CAP_SYS_ADMIN",)):
        made = compile_profile(PROFILE, capabilities, machine, kernel)
        assert filter_for("default", capabilities) == made
    text = (DATA / "seccomp.json").read_text()
    assert filter_for(text, DEFAULT) == filter_for("default", DEFAULT)


@pytest.mark.parametrize(
    ("release", "version"),
    [("6.18.44-cloud", (6, 18)), ("5.10", (5, 10)), ("6.1+", (6, 1)), ("odd", (0, 0))],
)
def test_a_kernel_s_release_is_read_as_its_version(release, version):
    assert seccomp._version(release) == version


def test_capabilities_decide_what_a_filter_allows():
    machine = os.uname().machine
    mount = table(machine)["mount"]
    assert verdict(filter_for("default", DEFAULT).program, machine, mount) == EPERM
    assert verdict(filter_for("default", ("CAP_SYS_ADMIN",)).program, machine, mount) == ALLOW


def test_a_profile_that_is_too_long_is_refused_unread():
    text = '{"defaultAction":"SCMP_ACT_ALLOW"' + " " * (1 << 20) + "}"
    with pytest.raises(InvalidRequest, match="seccomp"):
        filter_for(text, ())


def test_the_usual_container_s_filter_costs_no_compiler():
    program = """
        import sys
        from pyengine.linux.capabilities import DEFAULT
        from pyengine.linux.seccomp import filter_for
        assert filter_for("default", DEFAULT).program
        loaded = [name for name in sys.modules if name.startswith("pyengine.linux.seccomp_")]
        assert loaded == ["pyengine.linux.seccomp_default"], loaded
        assert "json" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=60)


def test_a_filter_says_what_it_is():
    assert Filter(b"").flags == 0


if __name__ == "__main__":
    target = Path(seccomp_default.__file__)
    kept, _, _ = target.read_text().partition(MARK)
    target.write_text(kept + written())
