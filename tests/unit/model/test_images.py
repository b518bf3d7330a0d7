"""Images as Docker's API tells them, and which of them a filter wants."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from pyengine.errors import InvalidRequest
from pyengine.model import media_types as media
from pyengine.model.config import ImageConfig
from pyengine.model.content import Descriptor
from pyengine.model.image_config import HistoryEntry, ImageFile
from pyengine.model.image_filters import PRUNE_FILTERS, ImageFilter
from pyengine.model.images import (
    DiskUsage,
    HistoryLine,
    ImageInfo,
    ImageSummary,
    ManifestSummary,
    Removal,
    UsageTally,
    history_lines,
)
from pyengine.model.path_glob import matches
from pyengine.model.platform import Platform
from pyengine.model.progress import ProgressEvent

ID = "sha256:" + 64 * "a"
DIGEST = "sha256:" + 64 * "d"
DESCRIPTOR = Descriptor(media.OCI_MANIFEST, DIGEST, 7)
FILE = ImageFile(
    architecture="arm64",
    os="linux",
    variant="v8",
    created=1706695200.5,
    created_text="2024-01-31T10:00:00.500000001Z",
    author="me",
    config=ImageConfig(command=("sh",), env=("A=1",)),
    diff_ids=(ID, DIGEST),
    comment="said",
)


def test_an_image_is_inspected_in_docker_s_words():
    info = ImageInfo(
        ID,
        FILE,
        tags=("alpine:3",),
        digests=(f"alpine@{DIGEST}",),
        size=9,
        descriptor=DESCRIPTOR,
        directories=("/low", "/top"),
        last_tagged=1706695200.0,
    )
    assert info.to_docker() == {
        "Id": ID,
        "RepoTags": ["alpine:3"],
        "RepoDigests": [f"alpine@{DIGEST}"],
        "Comment": "said",
        "Author": "me",
        "Config": {"Cmd": ["sh"], "Env": ["A=1"]},
        "Architecture": "arm64",
        "Variant": "v8",
        "Os": "linux",
        "Size": 9,
        "GraphDriver": {"Name": "overlay", "Data": {"LowerDir": "/low", "UpperDir": "/top"}},
        "RootFS": {"Type": "layers", "Layers": [ID, DIGEST]},
        "Metadata": {"LastTagTime": "2024-01-31T10:00:00Z"},
        "Created": "2024-01-31T10:00:00.500000001Z",
        "Descriptor": {"mediaType": media.OCI_MANIFEST, "digest": DIGEST, "size": 7},
    }
    assert info.config.command == ("sh",)
    assert info.layers == (ID, DIGEST)
    assert info.created == FILE.created
    assert info.platform == Platform("linux", "arm64", "v8")


def test_an_image_that_says_little_is_inspected_all_the_same():
    bare = ImageInfo(ID, ImageFile("amd64", "linux")).to_docker()
    assert (bare["RepoTags"], bare["RepoDigests"], bare["Config"]) == ([], [], {})
    assert bare["GraphDriver"]["Data"] == {}
    assert bare["Metadata"] == {"LastTagTime": "0001-01-01T00:00:00Z"}
    assert {"Created", "Variant", "OsVersion", "Descriptor", "Manifests"} & bare.keys() == set()


def test_the_entries_of_an_index_are_told_by_their_kind():
    image = ManifestSummary(DESCRIPTOR, True, "image", 3, 5, Platform("linux", "amd64"), ("c",))
    said = ManifestSummary(DESCRIPTOR, False, "attestation", about=ID)
    info = ImageInfo(ID, FILE, manifests=(image, said)).to_docker()
    assert info["Manifests"] == [
        {
            "ID": DIGEST,
            "Descriptor": info["Manifests"][0]["Descriptor"],
            "Available": True,
            "Size": {"Content": 3, "Total": 8},
            "Kind": "image",
            "ImageData": {
                "Platform": {"architecture": "amd64", "os": "linux"},
                "Containers": ["c"],
                "Size": {"Unpacked": 5},
            },
        },
        {
            "ID": DIGEST,
            "Descriptor": info["Manifests"][1]["Descriptor"],
            "Available": False,
            "Size": {"Content": 0, "Total": 0},
            "Kind": "attestation",
            "AttestationData": {"For": ID},
        },
    ]


def test_a_list_tells_what_nobody_counted_as_docker_does():
    summary = ImageSummary(ID, ("a:1",), (), 5.7, 9, (("l", "x"),), descriptor=DESCRIPTOR)
    assert summary.to_docker() == {
        "Id": ID,
        "ParentId": "",
        "RepoTags": ["a:1"],
        "RepoDigests": [],
        "Created": 5,
        "Size": 9,
        "SharedSize": -1,
        "Labels": {"l": "x"},
        "Containers": -1,
        "Descriptor": {"mediaType": media.OCI_MANIFEST, "digest": DIGEST, "size": 7},
    }


def test_a_history_is_told_newest_first_with_the_sizes_of_its_layers():
    history = (
        HistoryEntry(1.0, "ADD", comment="base"),
        HistoryEntry(2.0, "ENV", empty_layer=True),
        HistoryEntry(3.0, "RUN"),
    )
    lines = history_lines(ID, evolve(FILE, history=history), ["a:1"], [10, 20])
    assert lines == (
        HistoryLine(ID, 3.0, "RUN", ("a:1",), 20),
        HistoryLine("<missing>", 2.0, "ENV"),
        HistoryLine("<missing>", 1.0, "ADD", (), 10, "base"),
    )
    assert lines[0].to_docker() == {
        "Id": ID,
        "Created": 3,
        "CreatedBy": "RUN",
        "Tags": ["a:1"],
        "Size": 20,
        "Comment": "",
    }
    assert lines[1].to_docker()["Tags"] is None


def test_layers_that_a_history_leaves_out_are_told_too():
    assert history_lines(ID, FILE, [], [1, 2]) == (HistoryLine(ID, size=2), HistoryLine(size=1))
    assert history_lines(ID, FILE, [], []) == (HistoryLine(ID, 1706695200.5),)
    many = evolve(FILE, history=(HistoryEntry(created_by="x"),) * 3)
    assert [line.size for line in history_lines(ID, many, [], [7])] == [0, 0, 7]


def test_usage_and_removals_are_told_in_docker_s_words():
    usage = DiskUsage(UsageTally(2, 1, 30, 20), UsageTally(size=5), summaries=(ImageSummary(ID),))
    assert usage.size == 35
    assert usage.to_docker()["ImageUsage"] == {
        "ActiveCount": 1,
        "TotalCount": 2,
        "Reclaimable": 20,
        "TotalSize": 30,
    }
    assert [one["Id"] for one in usage.to_docker(verbose=True)["ImageUsage"]["Items"]] == [ID]
    assert Removal(untagged="a:1").to_docker() == {"Untagged": "a:1"}
    assert Removal(deleted=ID).to_docker() == {"Deleted": ID}


@pytest.mark.parametrize(
    ("event", "pushing", "message"),
    [
        (
            ProgressEvent("downloading", "abc", 5, 10),
            False,
            {"status": "Downloading", "progressDetail": {"current": 5, "total": 10}, "id": "abc"},
        ),
        (
            ProgressEvent("unpacking", "abc", 5),
            False,
            {"status": "Extracting", "progressDetail": {"current": 5}, "id": "abc"},
        ),
        (
            ProgressEvent("exists", "abc"),
            True,
            {"status": "Layer already exists", "progressDetail": {}, "id": "abc"},
        ),
        (
            ProgressEvent("exists", "abc"),
            False,
            {"status": "Already exists", "progressDetail": {}, "id": "abc"},
        ),
        (
            ProgressEvent("resolving", reference="library/a"),
            False,
            {"status": "Pulling from library/a"},
        ),
        (
            ProgressEvent("resolving", reference="docker.io/a/b"),
            True,
            {"status": "The push refers to repository [docker.io/a/b]"},
        ),
        (
            ProgressEvent("mounted", "abc", detail="a/b"),
            True,
            {"status": "Mounted from a/b", "progressDetail": {}, "id": "abc"},
        ),
        (ProgressEvent("retrying", detail="503"), False, {"status": "Retrying: 503"}),
        (
            ProgressEvent("resolving", reference="a:3", detail="3"),
            False,
            {"status": "Pulling from library/a", "id": "3"},
        ),
        (
            ProgressEvent("waiting", "abc"),
            True,
            {"status": "Preparing", "progressDetail": {}, "id": "abc"},
        ),
        (
            ProgressEvent("done", reference="x.io/a:3", detail="sha256:ab", total=7),
            True,
            {"status": "3: digest: sha256:ab size: 7"},
        ),
        (
            ProgressEvent("exists", reference="a:3", detail="sha256:ab"),
            False,
            {"status": "Status: Image is up to date for a:3"},
        ),
    ],
)
def test_progress_is_told_in_docker_s_words(event, pushing, message):
    assert event.to_docker(pushing=pushing) == message


def test_progress_is_told_in_the_lines_of_docker_s_command():
    def lines(*given, pushing=False, **options):
        return ProgressEvent(*given, **options).to_lines(pushing=pushing)

    assert lines("resolving", reference="a:3", detail="3") == ("3: Pulling from library/a",)
    assert lines("waiting", "abc") == ("abc: Pulling fs layer",)
    assert lines("downloading", "abc", 5, 10) == lines("unpacking", "abc", 5, 10) == ()
    assert lines("done", "abc", 10, 10) == ("abc: Pull complete",)
    assert lines("done", reference="a:3", detail="sha256:ab") == (
        "Digest: sha256:ab",
        "Status: Downloaded newer image for a:3",
    )
    assert lines("done", reference="a:3", detail="sha256:ab", pushing=True) == (
        "3: digest: sha256:ab",
    )
    assert lines("resolving", reference="oci:/a b") == ("Pulling from oci:/a b",)


def test_progress_knows_how_far_it_is():
    assert ProgressEvent("downloading", "a", 5, 10).fraction == 0.5
    assert ProgressEvent("downloading", "a", 15, 10).fraction == 1.0
    assert ProgressEvent("downloading", "a", 5).fraction is None
    assert not ProgressEvent("downloaded", "a").is_final
    assert ProgressEvent("done", "a").is_final


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("", "", True),
        ("abc", "abc", True),
        ("*", "abc", True),
        ("*c", "abc", True),
        ("a*", "a", True),
        ("a*", "abc", True),
        ("a*", "ab/c", False),
        ("a*/b", "abc/b", True),
        ("a*/b", "a/c/b", False),
        ("a*b*c*d*e*/f", "axbxcxdxe/f", True),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/f", True),
        ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", False),
        ("a*b?c*x", "abxbbxdbxebxczzx", True),
        ("a*b?c*x", "abxbbxdbxebxczzy", False),
        ("ab[c]", "abc", True),
        ("ab[b-d]", "abc", True),
        ("ab[e-g]", "abc", False),
        ("ab[^c]", "abc", False),
        ("ab[^e-g]", "abc", True),
        ("a\\*b", "a*b", True),
        ("a\\*b", "ab", False),
        ("a?b", "a☺b", True),
        ("a[^a]b", "a☺b", True),
        ("a???b", "a☺b", False),
        ("a?b", "a/b", False),
        ("a*b", "a/b", False),
        ("[\\]a]", "]", True),
        ("[\\-]", "-", True),
        ("[x\\-]", "z", False),
        ("*x", "xxx", True),
        ("a[^b]c", "a/c", True),
        ("[z-a]", "b", False),
        ("*/*:1.*", "a/b:1.2", True),
        ("a.c", "abc", False),
    ],
)
def test_a_pattern_fits_what_it_fits_in_go(pattern, text, fits):
    assert matches(pattern, text) is fits


@pytest.mark.parametrize("bad", ["[", "[]a]", "[-]", "[x-]", "[-x]", "a[", "a\\", "[a-b-c]", "[^"])
def test_a_pattern_that_go_refuses_is_refused(bad):
    with pytest.raises(InvalidRequest, match="syntax error in pattern"):
        matches(bad, "a")


@settings(max_examples=200, deadline=None)
@given(st.text("ab/*?", max_size=10), st.text("ab/", max_size=10))
def test_a_pattern_of_stars_fits_as_the_slow_way_says(pattern, text):
    def slow(pattern, text):
        if not pattern:
            return not text
        if pattern[0] == "*":
            rest = slow(pattern[1:], text)
            return rest or bool(text and text[0] != "/" and slow(pattern, text[1:]))
        same = text and (pattern[0] == text[0] or (pattern[0] == "?" and text[0] != "/"))
        return bool(same) and slow(pattern[1:], text[1:])

    assert matches(pattern, text) is slow(pattern, text)


OLD = ImageSummary("sha256:" + 64 * "1", ("alpine:3", "x.io/a/b:1.0"), (), 100.0)
NEW = ImageSummary("sha256:" + 64 * "2", ("busybox:latest",), (), 300.0, 0, (("a", "1"),))
LOOSE = ImageSummary("sha256:" + 64 * "3", (), (f"alpine@{DIGEST}",), 200.0)
LOST = ImageSummary("sha256:" + 64 * "4", (), (), 50.0, 0, (("a", "2"), ("b", "")))
EVERY = [OLD, NEW, LOOSE, LOST]


def selected(**filters):
    found = ImageFilter.parse({name.replace("_not", "!"): v for name, v in filters.items()})
    return [image.id[7] for image in found.select(EVERY, 1000.0)]


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        ({}, "2314"),
        ({"dangling": "true"}, "34"),
        ({"dangling": ["0"]}, "231"),
        ({"label": "a"}, "24"),
        ({"label": "a=1"}, "2"),
        ({"label": ["a", "b"]}, "4"),
        ({"label_not": "a"}, "31"),
        ({"before": "alpine:3"}, "4"),
        ({"since": "alpine:3"}, "23"),
        ({"since": "sha256:1"}, "23"),
        ({"before": "busybox"}, "314"),
        ({"until": "150"}, "14"),
        ({"until": "750s"}, "314"),
        ({"reference": "alp*"}, "31"),
        ({"reference": "alpine:*"}, "1"),
        ({"reference": "*"}, "231"),
        ({"reference": "*/*/*:1.*"}, "1"),
        ({"reference": ["none", "busybox"]}, "2"),
        ({"reference": "alpine", "dangling": "true"}, "3"),
        ({"label": []}, "2314"),
    ],
)
def test_a_filter_chooses_images_newest_first(filters, ids):
    assert "".join(selected(**filters)) == ids


def test_only_names_that_match_are_left_of_an_image():
    found = ImageFilter.parse({"reference": "alpine"}).select(EVERY, 0.0)
    assert [image.tags for image in found] == [(), ("alpine:3",)]


@pytest.mark.parametrize(
    ("filters", "why"),
    [
        ({"nam": "x"}, "invalid filter 'nam'"),
        ({"dangling": "maybe"}, "dangling filter"),
        ({"until": "yesterday"}, "until filter"),
        ({"reference": "["}, "syntax error in pattern"),
        ({"before": "none"}, "No such image: none"),
        ({"since": ""}, "No such image"),
    ],
)
def test_a_filter_that_says_nothing_is_refused(filters, why):
    with pytest.raises(InvalidRequest, match=why):
        ImageFilter.parse(filters).select(EVERY, 0.0)


def test_prune_takes_fewer_filters():
    assert ImageFilter.parse({"dangling": "false"}, PRUNE_FILTERS).dangling is False
    assert ImageFilter.parse({}, PRUNE_FILTERS).dangling is None
    with pytest.raises(InvalidRequest, match="invalid filter 'reference'"):
        ImageFilter.parse({"reference": "x"}, PRUNE_FILTERS)
