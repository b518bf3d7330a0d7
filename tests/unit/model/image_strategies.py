"""Images, and what they are made of, for hypothesis to try."""

from __future__ import annotations

from hypothesis import strategies as st

from pyengine.model import digests
from pyengine.model import media_types as media
from pyengine.model.config import ImageConfig
from pyengine.model.content import Descriptor
from pyengine.model.image_config import HistoryEntry, ImageFile
from pyengine.model.platform import Platform
from pyengine.model.spec import HealthCheck

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
pairs = st.dictionaries(words, words, max_size=3).map(lambda found: tuple(found.items()))
names = st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True)
platforms = st.builds(
    Platform,
    names,
    names,
    st.one_of(st.just(""), names),
    words,
    st.lists(words, max_size=2).map(tuple),
)
shas = st.binary(max_size=4).map(digests.of)


def descriptors(kinds):
    return st.builds(
        Descriptor,
        st.sampled_from(sorted(kinds)),
        shas,
        st.integers(0, (1 << 63) - 1),
        st.lists(words, max_size=2).map(tuple),
        pairs,
        st.none() | platforms,
    )


layers_of = st.lists(descriptors(media.LAYERS), max_size=4)
entries_of = st.lists(descriptors(media.MANIFESTS | media.INDEXES), max_size=4)

several = st.lists(words, max_size=3).map(tuple)
moments = st.none() | st.integers(0, 4 * 10**15).map(lambda micro: micro / 1e6)
seconds = st.integers(1, 10**7).map(lambda milli: milli / 1e3)
tests = st.one_of(
    st.just(("NONE",)),
    st.lists(words, min_size=1, max_size=3).map(lambda found: ("CMD", *found)),
    words.map(lambda found: ("CMD-SHELL", found)),
)
healths = st.builds(HealthCheck, tests, seconds, seconds, seconds, seconds, st.integers(1, 99))
ports = st.builds("{}/{}".format, st.integers(1, 65535), st.sampled_from(["tcp", "udp", "sctp"]))
paths = st.lists(names, min_size=1, max_size=3).map(lambda parts: "/v/" + "/".join(parts))

configs = st.builds(
    ImageConfig,
    entrypoint=several,
    command=several,
    env=several,
    user=st.from_regex(r"[a-z][a-z0-9_-]{0,8}(:[0-9]{1,5})?", fullmatch=True),
    workdir=words,
    labels=pairs,
    volumes=st.lists(paths, max_size=3, unique=True).map(tuple),
    exposed=st.lists(ports, max_size=3, unique=True).map(tuple),
    stop_signal=words,
    shell=several,
    health=st.none() | healths,
    onbuild=several,
    args_escaped=st.booleans(),
)
histories = st.builds(HistoryEntry, moments, words, words, words, st.booleans())
images = st.builds(
    ImageFile,
    architecture=names,
    os=names,
    variant=st.just("") | names,
    created=moments,
    author=words,
    config=configs,
    diff_ids=st.lists(shas, max_size=4).map(tuple),
    history=st.lists(histories, max_size=3).map(tuple),
    comment=words,
    os_version=words,
    os_features=several,
)
