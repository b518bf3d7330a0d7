"""Asking before something is removed for good."""

from __future__ import annotations

import sys

from pyengine.cli.say import STDERR, encoded, write


def is_sure(warning: str) -> bool:
    """Whether who reads *warning* says that it shall be done."""
    question = "Are you sure you want to continue? [y/N] "
    write(encoded(f"WARNING! {warning}\n{question}"), STDERR)
    return sys.stdin.readline().strip().lower() == "y"
