from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyengine.errors import InvalidRequest, Unsupported
from pyengine.model import mounting
from pyengine.model.mount_text import parse_mount
from pyengine.model.mounting import parse_tmpfs, parse_volume, parse_volumes
from pyengine.model.mounts import Mount, MountKind, Recursion

modest = settings(max_examples=60, deadline=None)
names = st.text("abcxyz019_.-", min_size=1, max_size=8).filter(lambda name: name not in (".", ".."))
paths = st.lists(names, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
propagations = st.sampled_from(["private", "rprivate", "shared", "rshared", "slave", "rslave"])


@modest
@given(paths, paths, st.booleans(), propagations)
def test_a_volume_text_reads_back_what_it_says(source, target, read_only, propagation):
    mount = parse_volume(f"{source}:{target}:{'ro' if read_only else 'rw'},{propagation},z")
    assert mount == Mount(
        MountKind.BIND,
        target,
        source,
        read_only=read_only,
        propagation=propagation,
        create_source=True,
    )


@modest
@given(paths, paths, st.booleans(), st.sampled_from(Recursion))
def test_a_mount_text_and_the_helper_mean_the_same(source, target, read_only, recursive):
    words = f"type=bind,src={source},dst={target},bind-recursive={recursive.value}"
    if not read_only and recursive in (Recursion.READONLY, Recursion.WRITABLE):
        with pytest.raises(InvalidRequest):
            parse_mount(words)
        return
    mount = mounting.bind(source, target, read_only=read_only, recursive=recursive)
    assert parse_mount(words + (",readonly" if read_only else "")) == mount
    assert mounting.check_mount(mount) == mount


def test_v_makes_a_missing_source_and_mount_refuses():
    assert parse_volume("/a:/b").create_source
    assert not parse_mount("type=bind,source=/a,target=/b").create_source
    assert parse_mount("type=bind,source=/a,target=/b,bind-create-src=true").create_source


def test_a_word_is_a_volume_and_a_path_is_bound(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    assert parse_volume("data:/x:nocopy").kind is MountKind.VOLUME
    assert parse_volume("data:/x:nocopy").nocopy
    assert parse_volume("/x") == Mount(MountKind.VOLUME, "/x")
    assert parse_volume("./data:/x").source == str(tmp_path / "data")
    assert parse_volume("~/data:/x").source == "/home/me/data"
    assert mounting.bind(Path("data"), Path("/x")).source == str(tmp_path / "data")
    assert parse_volume("/a:/x:O") == Mount(MountKind.OVERLAY, "/x", "/a")


def test_volumes_are_taken_as_docker_py_writes_them():
    given_mapping = {"/a": {"bind": "/b", "mode": "ro"}, "/c": "/d:rw"}
    assert parse_volumes(given_mapping) == (parse_volume("/a:/b:ro"), parse_volume("/c:/d"))
    assert parse_volumes(["/a:/b:ro"]) == parse_volumes("/a:/b:ro")


@pytest.mark.parametrize(
    "bad",
    [
        "",
        ":",
        "/a:",
        ":/b",
        "/a:/b:",
        "/a:/b:ro:rw",
        "/a:b",
        "/a:/",
        "/a:/b/..",
        "/a:/b:xx",
        "/a:/b:ro,rw",
        "/a:/b:z,Z",
        "/a:/b:shared,slave",
        "/a:/b:nocopy",
        "data:/x:shared",
        "/x:ro",
        "a:/x",
        "da ta:/x",
        "/a\x00:/b",
        "/a:/proc",
        "/a:/proc/sys",
        "/a:/x/../proc/1",
    ],
)
def test_a_volume_text_that_means_nothing_is_refused_with_a_reason(bad):
    with pytest.raises(InvalidRequest) as caught:
        parse_volume(bad)
    assert caught.value.why or caught.value.expected


def test_lxcfs_may_still_cover_its_files():
    assert parse_volume("/var/lib/lxcfs/proc/meminfo:/proc/meminfo").target == "/proc/meminfo"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("type=bind,source=/a", "no target"),
        ("type=bind,target=/b", "needs a source"),
        ("type=bind,source=/a,target=/b,target=/c", "twice"),
        ("type=bind,source=/a,target=/b,colour=red", "unknown key"),
        ("type=bind,source,target=/b", "no value"),
        ("type=bind,source=/a,target=/b,tmpfs-size=1m", "not for type bind"),
        ("type=cluster,source=a,target=/b", "mount type unknown"),
        ("type=npipe,source=a,target=/b", "mount type unknown"),
        ("type=tmpfs,source=/a,target=/b", "no source"),
        ("type=bind,source=/a,target=/b,readonly=maybe", "readonly=true"),
        ("type=bind,source=/a,target=/b,bind-propagation=x", "rprivate"),
        ("type=bind,source=/a,target=/b,bind-recursive=x", "disabled"),
        ("type=bind,source=/a,target=b", "absolute"),
        ("type=tmpfs,target=/b,tmpfs-mode=999", "octal"),
        ("type=tmpfs,target=/b,tmpfs-size=lots", "number of bytes"),
        ("type=volume,source=ab,target=/b,volume-subpath=../x", "'..'"),
        ("type=image,source=a,target=/b,readonly=false", "read-only"),
        ('type=bind,"source=/a,target=/b', "end of data"),
        ("type=bind,source=/a,target=/b,consistency=x", "consistency="),
        ('type=bind,"source=/a\n",target=/b', "more than one line"),
        ("", "unknown key"),
    ],
)
def test_a_mount_text_that_means_nothing_says_why(text, reason):
    with pytest.raises(InvalidRequest) as caught:
        parse_mount(text)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("type=tmpfs,dst=/t,ro", Mount(MountKind.TMPFS, "/t", read_only=True)),
        ("src=data,dst=/t,volume-nocopy", Mount(MountKind.VOLUME, "/t", "data", nocopy=True)),
        (
            "type=image,src=alpine,dst=/t,image-subpath=etc",
            Mount(MountKind.IMAGE, "/t", "alpine", read_only=True, subpath="etc"),
        ),
        ("type=overlay,src=/a,dst=/t,readonly=0", Mount(MountKind.OVERLAY, "/t", "/a")),
        ("type=bind,src=/a,dst=/t,consistency=cached", Mount(MountKind.BIND, "/t", "/a")),
    ],
)
def test_each_kind_of_mount_has_its_words(text, mount):
    assert parse_mount(text) == mount


def test_an_overlay_that_nobody_writes_to_is_a_bind():
    with pytest.raises(InvalidRequest) as caught:
        parse_mount("type=overlay,source=/a,target=/b,readonly")
    assert "bind" in str(caught.value)


def test_a_quoted_field_may_contain_commas():
    mount = parse_mount('type=bind,"source=/a,b",target=/c')
    assert mount.source == "/a,b"


def test_read_only_for_certain_does_not_go_with_propagation():
    words = "type=bind,source=/a,target=/b,ro,bind-recursive=readonly,bind-propagation="
    assert parse_mount(words + "rprivate").recursive is Recursion.READONLY
    with pytest.raises(InvalidRequest):
        parse_mount(words + "rshared")


@modest
@given(st.text(max_size=30))
def test_any_text_is_a_mount_or_a_reason(text):
    for read in (parse_volume, parse_mount, parse_tmpfs):
        try:
            read(text)
        except InvalidRequest:
            pass


def test_tmpfs_helper_text_and_mapping_mean_the_same():
    made = mounting.tmpfs("/t", size="64m", mode=0o1777)
    assert parse_tmpfs({"/t": "size=64m,mode=1777"}) == (made,)
    assert parse_tmpfs(["/t:size=64m,mode=1777"]) == (made,)
    assert parse_tmpfs("/t:size=64m,mode=1777") == (made,)
    assert parse_tmpfs({"/t": None}) == parse_tmpfs(["/t"])
    assert parse_tmpfs("/t:ro")[0].read_only


def test_a_mount_made_by_hand_is_checked_as_any_other():
    assert mounting.check_mount(Mount(MountKind.TMPFS, "/t/", options=("ro",))).target == "/t"
    for bad in (
        Mount(MountKind.BIND, "relative", "/a"),
        Mount(MountKind.BIND, "/b", ""),
        Mount(MountKind.BIND, "/b", "/a", propagation="loud"),
        Mount(MountKind.BIND, "/b", "/a", options=("size=1m",)),
        Mount(MountKind.TMPFS, "/b", "/a"),
        Mount(MountKind.TMPFS, "/b", options=("size=x",)),
        "/a:/b",
    ):
        with pytest.raises(InvalidRequest):
            mounting.check_mount(bad)


def test_what_is_not_built_says_so_and_what_to_do_instead():
    assert mounting.require_built(mounting.bind("/a", "/b"))
    for mount in (mounting.volume("data", "/x"), mounting.volume("", "/x")):
        with pytest.raises(Unsupported) as caught:
            mounting.require_built(mount)
        assert caught.value.remedy
    with pytest.raises(Unsupported):
        mounting.require_built(mounting.image_mount("alpine", "/x"))
    with pytest.raises(Unsupported):
        parse_mount("type=volume,source=ab,target=/b,volume-driver=nfs")
