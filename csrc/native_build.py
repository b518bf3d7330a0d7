"""Tells cffi what to compile, and setup.py what else; both read the one header."""

from pathlib import Path

from cffi import FFI

HERE = Path(__file__).parent
WARNINGS = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden"]

# What the extension links, relative to the project's root.
SOURCES = [
    "csrc/spawn.c",
    "csrc/spawner.c",
    "csrc/births.c",
    "csrc/join.c",
    "csrc/steps.c",
    "csrc/bounds.c",
    "csrc/step_files.c",
    "csrc/resolve.c",
    "csrc/mount.c",
    "csrc/say.c",
    "csrc/program.c",
    "csrc/namespace.c",
    "csrc/detached.c",
    "csrc/files.c",
    "csrc/remove.c",
    "csrc/log.c",
    "csrc/log_read.c",
    "csrc/watch.c",
    "csrc/visit.c",
    "csrc/tar.c",
    "csrc/tar_links.c",
    "csrc/tar_marks.c",
    "csrc/tar_write.c",
    "csrc/tar_header.c",
    "csrc/tar_pax.c",
    "csrc/tar_sparse.c",
    "csrc/untar.c",
    "csrc/untar_names.c",
    "csrc/untar_directories.c",
    "csrc/untar_attributes.c",
    "csrc/untar_place.c",
]

# Programs that are executed from sealed memory; they have no libc.
PROGRAM_FLAGS = [
    *("-std=gnu11", "-Os", "-Wall", "-Wextra", "-Werror"),
    *("-static", "-nostdlib", "-nostartfiles", "-ffreestanding", "-fno-stack-protector"),
    *("-fno-asynchronous-unwind-tables", "-fno-pie", "-s"),
    *("-Wl,--build-id=none", "-Wl,-z,noexecstack", "-Wl,-z,noseparate-code"),
]
PROGRAMS = {
    "landing": ["csrc/landing.c", "csrc/program.c"],
    "joiner": [
        "csrc/joiner.c",
        "csrc/lean.c",
        "csrc/steps.c",
        "csrc/bounds.c",
        "csrc/step_files.c",
        "csrc/resolve.c",
        "csrc/remove.c",
        "csrc/mount.c",
        "csrc/say.c",
        "csrc/program.c",
    ],
    "guard": [
        "csrc/guard.c",
        "csrc/ward.c",
        "csrc/shelf.c",
        "csrc/ward_cgroups.c",
        "csrc/remove.c",
        "csrc/lean.c",
        "csrc/say.c",
    ],
}

ffi = FFI()
ffi.cdef((HERE / "pyengine.h").read_text() + (HERE / "guard.h").read_text())
ffi.set_source(
    "pyengine._native",
    '#include "internal.h"\n#include "guard.h"',
    include_dirs=[str(HERE)],
    sources=SOURCES,
    depends=[str(path) for path in sorted(HERE.glob("*.[ch]"))],
    extra_compile_args=WARNINGS,
    extra_link_args=["-Wl,-z,now"],  # a child that borrows our memory must look up no symbols
    libraries=["pthread"],
    py_limited_api=True,
)
