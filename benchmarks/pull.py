"""``python -m benchmarks pull``: a big image from a registry on loopback, beside its peers.

Each is a whole process: ours is ``pyengine pull``, theirs are ``skopeo copy`` followed by
``umoci unpack``, and ``podman pull``. The limit is the slower of what cannot be done at the same
time: the same bytes inflated by the fastest program there is, and the same files made by our own
unpacker in C. Every contestant begins with an empty store.
"""

from __future__ import annotations
