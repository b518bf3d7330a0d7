"""Where everything lies on disk."""

from __future__ import annotations

import os

from attrs import frozen

STEADY = "none"  # the owner directory of containers that belong to no process


@frozen
class Home:
    """The directory of one container."""

    path: str

    @property
    def record(self) -> str:
        """What the container is: a specification that never changes but by rename and update."""
        return f"{self.path}/container.json"

    @property
    def state(self) -> str:
        """What the container does."""
        return f"{self.path}/state.json"

    @property
    def health(self) -> str:
        """What its health checks have said."""
        return f"{self.path}/health.json"

    @property
    def leases(self) -> str:
        """Who holds it, where several processes share it: see `store.leases`."""
        return f"{self.path}/leases"

    @property
    def upper(self) -> str:
        """Its writable layer."""
        return f"{self.path}/upper"

    @property
    def work(self) -> str:
        """overlayfs's own scratch directory."""
        return f"{self.path}/work"

    @property
    def log(self) -> str:
        """Its output, named as docker names it."""
        return f"{self.path}/output-json.log"

    def view(self, number: int) -> tuple[str, str]:
        """Upper and work directory of its *number*-th throw-away view of a host directory."""
        return f"{self.path}/view{number}/upper", f"{self.path}/view{number}/work"


@frozen
class Layout:
    """The directories below an engine's root, and below its run directory."""

    root: str
    run: str

    @classmethod
    def of(cls, root: str | os.PathLike[str] | None, run: str | os.PathLike[str] | None) -> Layout:
        """The places *root* and *run*, or PYENGINE_ROOT, or those of this user."""
        chosen = root or os.environ.get("PYENGINE_ROOT")
        if chosen:
            path = os.path.abspath(os.path.expanduser(os.fspath(chosen)))
            return cls(path, _absolute(run) if run else path)
        if os.geteuid() == 0:
            return cls("/var/lib/pyengine", _absolute(run) if run else "/run/pyengine")
        from pyengine.store.places import data_directory, run_directory  # nothing that root needs

        data = data_directory()
        return cls(data, _absolute(run) if run else run_directory(data))

    @property
    def owners(self) -> str:
        """One directory for each process that owns containers."""
        return f"{self.root}/owners"

    @property
    def names(self) -> str:
        """A link for each name, to ``OWNER/ID`` or to its record, which makes it unique."""
        return f"{self.root}/names"

    @property
    def layers(self) -> str:
        """The topmost lower layers, by what they complete: see `containers.rootfs`."""
        return f"{self.root}/init"

    @property
    def blobs(self) -> str:
        """What images are made of, by digest: an OCI image layout directory; see `store.blobs`."""
        return f"{self.root}/blobs"

    @property
    def ingest(self) -> str:
        """Blobs that are not whole yet."""
        return f"{self.root}/ingest"

    @property
    def unpacked(self) -> str:
        """The layers of images, by chain id: see `store.layers`."""
        return f"{self.root}/layers"

    @property
    def image_names(self) -> str:
        """A record for each name of an image: see `store.image_names`."""
        return f"{self.root}/images"

    @property
    def sources(self) -> str:
        """What came of archives that images were run out of: see `images.archive_sources`."""
        return f"{self.root}/sources"

    @property
    def pins(self) -> str:
        """What living processes need, whatever has a name: see `store.pins`."""
        return f"{self.root}/pins"

    @property
    def engine_lock(self) -> str:
        """Held shared by who adds content, and exclusive by who removes it."""
        return f"{self.root}/engine.lock"

    @property
    def mountpoint(self) -> str:
        """An empty directory to put new roots on, each in its own mount namespace."""
        return f"{self.run}/mnt"

    @property
    def events(self) -> str:
        """The journal of what happens: see `store.journal`."""
        return f"{self.run}/events"

    @property
    def desks(self) -> str:
        """A socket of each owner: see `containers.desk`."""
        return f"{self.run}/desk"

    @property
    def keeper_lock(self) -> str:
        """Held by who starts a keeper, and by a keeper that leaves."""
        return f"{self.run}/keeper.lock"

    def streams(self, container_id: str) -> str:
        """The streams of a container that is kept: see `containers.streams`."""
        return f"{self.run}/streams/{container_id}"

    def home(self, owner: str, container_id: str) -> Home:
        """The directory of container *container_id* of *owner*."""
        return Home(f"{self.root}/owners/{owner}/{container_id}")


def _absolute(path: str | os.PathLike[str]) -> str:
    return os.path.abspath(os.path.expanduser(os.fspath(path)))
