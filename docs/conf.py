"""How Sphinx makes these pages; every example in them is run by ``-b doctest``."""

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

# Examples work in a root of their own, which is gone when they are done.
doctest_global_setup = """
import os, tempfile
import pyengine

_examples = tempfile.TemporaryDirectory(prefix="pyengine-examples-")
os.environ["PYENGINE_ROOT"] = _examples.name
"""
doctest_global_cleanup = """
_examples.cleanup()
"""
