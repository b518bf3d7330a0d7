"""How Sphinx makes these pages; every example in them is run by ``-b doctest``."""

import os
import sys
import tempfile
import tomllib
from pathlib import Path

_described = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]

project = "pyengine"
author = "the pyengine authors"
project_copyright = "the pyengine authors, Apache License 2.0"
version = release = _described["version"]

extensions = ["sphinx.ext.autodoc", "sphinx.ext.doctest"]
exclude_patterns = ["_build"]
default_role = "py:obj"
html_theme = "alabaster"
html_theme_options = {
    "description": "A whole container engine as a Python library",
    "page_width": "1000px",
    "fixed_sidebar": True,
}

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "show-inheritance": True}
add_module_names = False

doctest_global_setup = "import pyengine; from pyengine import *"


def setup(_app):
    """Examples work in a root of their own, which goes when they are done."""
    if "doctest" in sys.argv:
        _roots.append(tempfile.TemporaryDirectory(prefix="pyengine-examples-"))
        os.environ["PYENGINE_ROOT"] = _roots[0].name


_roots = []
