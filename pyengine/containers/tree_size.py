"""How much is in the files of a tree; also as a program, for who may not look into all of it."""

from __future__ import annotations

import os
import sys


def size_of(directory: str, *, passed_over: type[OSError] = FileNotFoundError) -> int:
    """Bytes in the files below, each once; links are not followed.

    What goes meanwhile, or raises *passed_over*, counts nothing; other errors are raised.

    >>> size_of("/var/empty")                                               # doctest: +SKIP
    0
    """
    total, seen = 0, set[int]()
    pending = [directory]
    while pending:
        try:
            entries = list(os.scandir(pending.pop()))
        except (FileNotFoundError, NotADirectoryError, passed_over):
            continue
        for entry in entries:
            try:
                found = entry.stat(follow_symlinks=False)
            except (FileNotFoundError, passed_over):
                continue
            if entry.is_dir(follow_symlinks=False):
                pending.append(entry.path)
            elif found.st_ino not in seen:
                seen.add(found.st_ino)
                total += found.st_size
    return total


def size_of_readable(directory: str) -> int:
    """`size_of` what can be read."""
    return size_of(directory, passed_over=OSError)


def main() -> int:
    """Such a program."""
    print(size_of_readable(sys.argv[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
