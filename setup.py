"""Build the C extension, and the freestanding programs that go with it."""

import os
import platform
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import setup
from setuptools.command.build_ext import build_ext

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "csrc"))

from native_build import PROGRAM_FLAGS, PROGRAMS  # noqa: E402  (needs the line above)


class BuildNative(build_ext):
    """Compile the extension with cffi, then what it executes: static programs without a libc."""

    def run(self) -> None:
        super().run()
        home = HERE / "pyengine" if self.inplace else Path(self.build_lib) / "pyengine"
        home.mkdir(parents=True, exist_ok=True)
        compiler = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
        for name, sources in PROGRAMS.items():
            paths = [str(HERE / source) for source in sources]
            command = [*compiler.split(), *PROGRAM_FLAGS, "-o", str(home / name), *paths]
            print(" ".join(command))
            subprocess.check_call(command)


if platform.system() != "Linux":
    raise SystemExit("pyengine drives the Linux kernel: it can be built on Linux only")

setup(
    cffi_modules=["csrc/native_build.py:ffi"],
    cmdclass={"build_ext": BuildNative},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},  # one wheel for every Python from 3.11
)
