"""Programs, places and sources that cannot be: the error names them, and nothing is left."""

from __future__ import annotations

import os

import pytest
from hostile import small_root
from refusals import assert_explained

from pyengine import (
    Engine,
    EngineError,
    ExecutableNotFound,
    ImageNotFound,
    InvalidRequest,
    NotExecutable,
    NotPermitted,
    Unsupported,
)

pytestmark = [pytest.mark.kernel, pytest.mark.tiers]


def elf(machine: int, interpreter: bytes = b"") -> bytes:
    """The head of an executable for *machine* that names *interpreter*."""
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += (2).to_bytes(2, "little") + machine.to_bytes(2, "little") + (1).to_bytes(4, "little")
    head += (0x400000).to_bytes(8, "little") + (64).to_bytes(8, "little") + bytes(8)
    head += bytes(4) + (64).to_bytes(2, "little") + (56).to_bytes(2, "little")
    head += (1).to_bytes(2, "little") + bytes(6)
    size = len(interpreter) + 1
    program = (3).to_bytes(4, "little") + (4).to_bytes(4, "little")  # PT_INTERP, readable
    program += (120).to_bytes(8, "little") + bytes(16) + size.to_bytes(8, "little") * 2 + bytes(8)
    return head + program + interpreter + b"\0" + bytes(64)


OWN = {"x86_64": 62, "aarch64": 183}[os.uname().machine]
FOREIGN = 183 if OWN == 62 else 62
FILES = {
    "script without its interpreter": (b"#!/no/such/interpreter\n", 0o755),
    "loader missing": (elf(OWN, b"/no/such/loader"), 0o755),
    "another architecture": (elf(FOREIGN), 0o755),
    "no program at all": (b"\x00\x01\x02", 0o755),
    "empty": (b"", 0o755),
    "text": (b"just words\n", 0o755),
    "cut off": (elf(OWN)[:20], 0o755),
    "not executable": (b"#!/bin/sh\n", 0o644),
    "interpreter that is a directory": (b"#!/bin\n", 0o755),
    "interpreter of itself": (b"#!/opt/x\n", 0o755),
    "nobody may": (b"#!/bin/sh\n", 0o000),
}
REASONS = {
    "script without its interpreter": "interpreter",
    "loader missing": "interpreter",
    "another architecture": "exec format error",
    "not executable": "permission denied",
}


@pytest.mark.parametrize("kind", FILES)
def test_a_program_that_may_not_run_ends_with_126_and_its_reason(engine, rootfs, tmp_path, kind):
    content, mode = FILES[kind]
    (tmp_path / "x").write_bytes(content)
    (tmp_path / "x").chmod(mode)
    options = {"volumes": [f"{tmp_path}:/opt"]}
    image = f"rootfs:{rootfs}"
    container = engine.start(image, ["sleep", "1000"], **options)
    paths = {"PATH": "/none:/opt"}
    for run in (
        lambda: engine.run(image, ["/opt/x"], **options),
        lambda: engine.run(image, ["x"], env=paths, **options),
        lambda: engine.run(image, ["/opt/x"], init=True, **options),
        lambda: container.exec(["/opt/x"]),
        lambda: container.exec(["x"], env=paths),
        lambda: engine.start(image, ["/opt/x"], **options),
    ):
        with pytest.raises(NotExecutable) as caught:
            run()
        assert caught.value.exit_code == 126
        assert REASONS.get(kind, "") in str(caught.value)
        assert_explained(caught.value)
    assert len(engine.containers.list(all=True)) == 1


@pytest.mark.parametrize(
    "program", ["no-such-program", "/no/such/program", "/bin/sh/x", "./x", "", "/etc/passwd/x"]
)
def test_a_program_that_is_not_there_ends_with_127(engine, image, program):
    container = engine.start(image, ["sleep", "1000"])
    for run in (
        lambda: engine.run(image, [program]),
        lambda: engine.run(image, [program], init=True),
        lambda: container.exec([program]),
        lambda: engine.start(image, [program]),
    ):
        with pytest.raises(ExecutableNotFound) as caught:
            run()
        assert caught.value.exit_code == 127
    assert len(engine.containers.list(all=True)) == 1


def test_a_directory_is_no_program(engine, image):
    for init in (False, True):
        with pytest.raises(NotExecutable) as caught:
            engine.run(image, ["/bin"], init=init)
        assert caught.value.exit_code == 126


def test_arguments_that_are_too_long_are_told_as_such(engine, image):
    for command in (["echo", "x" * (1 << 20)], ["echo", *(["x" * 1000] * 5000)]):
        with pytest.raises(InvalidRequest) as caught:
            engine.run(image, command)
        assert_explained(caught.value)
    assert engine.run(image, ["echo", "x" * 100_000]).stdout == "x" * 100_000 + "\n"


def test_a_start_that_fails_is_written_into_the_state_and_can_be_repeated(engine, image):
    for program, code in (("no-such-program", 127), ("/etc/passwd", 126)):
        container = engine.create(image, [program])
        for _ in range(2):
            with pytest.raises(EngineError):
                container.start()
            state = container.inspect().state
            assert state.exit_code == code
            assert program in state.error
        container.remove()


# --- places and sources ---


@pytest.mark.parametrize(
    "workdir", ["/etc/passwd", "/etc/passwd/below", "/dev/null", "/proc/self/exe"]
)
def test_a_working_directory_that_is_a_file_is_named(engine, image, workdir):
    container = engine.start(image, ["sleep", "1000"])
    for run in (
        lambda: engine.run(image, "true", workdir=workdir),
        lambda: engine.start(image, "true", workdir=workdir),
        lambda: container.exec("true", workdir=workdir),
    ):
        with pytest.raises(InvalidRequest) as caught:
            run()
        assert (caught.value.what, caught.value.given) == ("workdir", workdir)
    assert len(engine.containers.list(all=True)) == 1


def test_a_working_directory_is_made_for_a_new_container_and_never_for_who_joins(engine, image):
    assert engine.run(image, "pwd", workdir="/made/for/it").stdout == "/made/for/it\n"
    container = engine.start(image, ["sleep", "1000"])
    with pytest.raises(InvalidRequest) as caught:
        container.exec("pwd", workdir="/not/there")
    assert "does not exist" in str(caught.value)
    with pytest.raises(InvalidRequest, match="read-only"):
        engine.run(image, "pwd", workdir="/made/for/it", read_only=True)


def test_a_source_that_is_missing_is_named_and_made_only_where_docker_makes_it(
    engine, image, tmp_path
):
    missing = tmp_path / "missing"
    for make in (engine.create, engine.run, engine.start):
        with pytest.raises(InvalidRequest) as caught:
            make(image, "true", mounts=[f"type=bind,src={missing},dst=/a"])
        assert caught.value.given == str(missing)
    assert not missing.exists()
    assert engine.run(image, ["ls", "/a"], volumes=[f"{missing}:/a"]).exit_code == 0
    assert missing.is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidRequest):
        engine.run(image, "true", volumes=[f"{tmp_path}/file/below:/a"])
    with pytest.raises(InvalidRequest):
        engine.run(image, "true", mounts=[f"type=overlay,source={tmp_path}/file,target=/a"])
    assert engine.containers.list(all=True) == []


def test_a_source_that_goes_away_before_the_start_is_named(engine, image, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    container = engine.create(image, "true", mounts=[f"type=bind,src={source},dst=/a"])
    source.rmdir()
    with pytest.raises(InvalidRequest) as caught:
        container.start()
    assert caught.value.given == str(source)
    source.mkdir()
    container.start()
    assert container.wait(timeout=30).exit_code == 0


def test_an_image_that_goes_away_before_the_start_is_told(engine, rootfs, tmp_path):
    root = small_root(rootfs, tmp_path / "root")
    container = engine.create(f"rootfs:{root}", "true")
    os.rename(root, tmp_path / "elsewhere")
    with pytest.raises(ImageNotFound) as caught:
        container.start()
    assert root in str(caught.value)
    os.rename(tmp_path / "elsewhere", root)
    container.start()
    assert container.wait(timeout=30).exit_code == 0


def test_a_device_that_is_none_is_named(engine, image, tmp_path):
    for device in ("/no/such/device", "/etc/passwd", str(tmp_path)):
        with pytest.raises((InvalidRequest, Unsupported)) as caught:
            engine.run(image, "true", devices=[device])
        assert device in str(caught.value)
    assert engine.containers.list(all=True) == []


def test_capabilities_limits_and_parameters_that_cannot_be_given_are_explained(engine, image):
    for options, error in (
        ({"cap_add": ["NOPE"]}, InvalidRequest),
        ({"ulimits": {"nice": 40}}, NotPermitted),
        ({"sysctls": {"net.no.such.thing": 1}}, Unsupported),
        ({"sysctls": {"net.core.somaxconn": "many"}}, InvalidRequest),
        ({"tmpfs": {"/a": "size=99999999999999999999g"}}, InvalidRequest),
    ):
        if options == {"ulimits": {"nice": 40}} and _may_raise_limits():
            continue
        with pytest.raises(error) as caught:
            engine.run(image, "true", **options)
        assert_explained(caught.value)
    assert engine.containers.list(all=True) == []


def _may_raise_limits() -> bool:
    from pyengine.linux.capabilities import held, mask

    return bool(held() & mask(("CAP_SYS_RESOURCE",)))


def test_a_root_that_cannot_be_is_an_error_of_the_store(image, tmp_path):
    (tmp_path / "file").write_text("")
    for root in (
        tmp_path / "file",
        tmp_path / "file" / "below",
        "/proc/no-such-place",
        "/dev/null",
    ):
        with Engine(root) as engine, pytest.raises(EngineError) as caught:
            engine.run(image, "true")
        assert str(root).split("/")[-1] in str(caught.value)
        assert_explained(caught.value)
