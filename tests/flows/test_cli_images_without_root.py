"""The life of an image on the command line, for somebody who is not root."""

from __future__ import annotations

import gzip
import json

import pytest
from support.images import tar_of, tar_of_directory
from support.users import USER, somebody

pytestmark = pytest.mark.kernel

_FRAME = """
import json, subprocess, sys

told = []
for words in json.loads({commands!r}):
    command = [sys.executable, "-m", "pyengine", "--root", {root!r}, *words]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    told.append((done.returncode, done.stdout, done.stderr))
print(json.dumps(told))
"""
SUBIDS = f"{USER}:700000:65536\nstranger:700000:65536\n"


@pytest.mark.parametrize("subids", [None, SUBIDS], ids=["one id", "ids of their own"])
def test_an_image_lives_without_root_as_with_it(registry, rootfs, subids):
    layers = [tar_of_directory(rootfs), tar_of({"note": b"hi\n"})]
    registry.put_image("rootless/box", "1", [gzip.compress(layer, 1) for layer in layers])
    name = f"{registry.address}/rootless/box:1"
    other = f"{registry.address}/rootless/other:2"
    with somebody(subids) as stranger:
        archive = str(stranger.home / "made.tar")
        commands = [
            ["run", "--rm", name, "cat", "/note"],
            ["tag", name, other],
            ["push", "-q", other],
            ["system", "check"],
            ["run", "--name", "writer", name, "sh", "-c", "echo new > /note"],
            ["commit", "writer", "made:1"],
            ["run", "--rm", "made:1", "cat", "/note"],
            ["save", "-o", archive, "made:1"],
            ["rm", "writer"],
            ["rmi", "-f", "made:1"],
            ["load", "-i", archive],
            ["run", "--rm", "made:1", "cat", "/note"],
            ["system", "check"],
            ["system", "prune", "-a", "-f"],
            ["images", "-a", "-q"],
        ]
        frame = _FRAME.format(commands=json.dumps(commands), root=str(stranger.home / "engine"))
        done = stranger.python(frame, DOCKER_CONFIG=str(stranger.home / "docker"))
    told = json.loads(done.stdout or "[]")
    failed = [(*words[:2], *one) for words, one in zip(commands, told, strict=True) if one[0]]
    assert failed == [], done.stderr
    said = [out for _, out, _ in told]
    assert said[0] == "hi\n"
    assert "Pull complete" in told[0][2]
    assert said[2] == f"{other}\n"
    assert said[3] == said[12] == "Nothing is wrong\n"
    assert said[6] == said[11] == "new\n"
    assert said[10] == "Loaded image: made:1\n"
    assert said[-1] == ""
    assert registry.tags("rootless/other") == ["2"]
