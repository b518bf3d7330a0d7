"""What is asked of a program that is put into a running container."""

from __future__ import annotations

from functools import lru_cache

from attrs import frozen

from pyengine.errors import InvalidRequest
from pyengine.model import options_program as read
from pyengine.model.options_files import read_env_files
from pyengine.model.options_words import flag


@frozen(cache_hash=True)
class JoinOptions:
    """What is asked of a program that joins; empty, or `None`: as the container has it."""

    argv: tuple[str, ...]
    env: tuple[tuple[str, str | None], ...] = ()
    workdir: str = ""
    user: str = ""
    tty: bool = False
    open_stdin: bool = False
    privileged: bool = False
    console_size: tuple[int, int] = (0, 0)


@lru_cache(maxsize=64)
def _plain_options(argv: tuple[object, ...]) -> JoinOptions:
    return JoinOptions(_exec_words(argv))


def _exec_words(argv: object) -> tuple[str, ...]:
    words = read.command_words(argv, "exec command")
    if not words:
        raise InvalidRequest("exec command", argv, why="No exec command specified")
    return words


def join_options(
    argv: object,
    env: object,
    env_file: object,
    workdir: str | None,
    user: str | int | None,
    tty: bool,
    privileged: bool,
    console_size: tuple[int, int] | None = None,
    stdin: bool = False,
) -> JoinOptions:
    """What a caller has given, read; `InvalidRequest` where it cannot be meant.

    A command alone, which most ask for, is read once.
    """
    wishes = env, env_file, workdir, user, console_size
    flags = tty, privileged, stdin
    plain = all(each is None for each in wishes) and all(each is False for each in flags)
    if plain and isinstance(argv, list | tuple):
        try:
            return _plain_options(tuple(argv))
        except TypeError:  # what cannot be hashed is no text: said below
            pass
    return JoinOptions(
        argv=_exec_words(argv),
        env=(
            *(() if env_file is None else read_env_files(env_file)),
            *(() if env is None else read.environment(env)),
        ),
        workdir="" if workdir is None else read.workdir(workdir),
        user="" if user is None else read.user(user),
        tty=flag(tty, "tty"),
        open_stdin=flag(stdin, "stdin"),
        privileged=flag(privileged, "privileged"),
        console_size=(0, 0) if console_size is None else read.console_size(console_size),
    )
