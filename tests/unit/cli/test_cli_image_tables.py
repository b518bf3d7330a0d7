import json

import pytest

from pyengine.cli.disk import finding_line, usage_rows
from pyengine.cli.formats import Format, Layout
from pyengine.cli.image_listing import history_rows, image_rows
from pyengine.cli.image_tree import print_tree, tree_rows, tree_text
from pyengine.cli.searching import search_rows
from pyengine.model.content import Descriptor
from pyengine.model.images import (
    DiskUsage,
    HistoryLine,
    ImageSummary,
    ManifestSummary,
    UsageTally,
)
from pyengine.model.platform import Platform
from pyengine.store.check import Finding

NOW = 1_700_000_000.0
ID = f"sha256:{'ab' * 32}"
DIGEST = f"sha256:{'cd' * 32}"
OTHER = f"sha256:{'ef' * 32}"


def image(**given):
    return ImageSummary(**{"id": ID, "created": NOW - 7200, "size": 7_654_321, **given})


def names(*images, digests=False):
    rows = image_rows(images, truncates=True, digests=digests, now=NOW)
    return [(row["Repository"], row["Tag"], row["Digest"]) for row in rows]


def test_an_image_has_a_row_for_each_of_its_names():
    found = image(tags=("alpine:3", "localhost:5000/a/b:latest"), digests=(f"alpine@{DIGEST}",))
    assert names(found) == [
        ("alpine", "3", DIGEST),
        ("localhost:5000/a/b", "latest", "<none>"),
    ]


def test_an_image_without_a_name_has_a_row_too():
    assert names(image()) == [("<none>", "<none>", "<none>")]
    assert names(image(digests=(f"alpine@{DIGEST}",))) == [("alpine", "<none>", DIGEST)]


def test_with_digests_each_has_a_row():
    found = image(tags=("alpine:3",), digests=(f"alpine@{DIGEST}", f"b@{OTHER}"))
    assert names(found, digests=True) == [("alpine", "3", DIGEST), ("b", "<none>", OTHER)]


def test_a_row_of_images_tells_what_docker_tells():
    (row,) = image_rows([image(tags=("a:1",))], truncates=True, now=NOW)
    assert row["ID"] == "ab" * 6
    assert row["CreatedSince"] == "2 hours ago"
    assert row["Size"] == "7.65MB"
    assert (row["Containers"], row["SharedSize"], row["UniqueSize"]) == ("N/A", "N/A", "N/A")
    counted = image(tags=("a:1",), shared_size=7_000_000, containers=2)
    (row,) = image_rows([counted], truncates=False, now=NOW)
    assert row["ID"] == ID
    assert (row["Containers"], row["SharedSize"], row["UniqueSize"]) == ("2", "7MB", "654kB")


def manifest(digest, platform, **given):
    described = Descriptor("application/vnd.oci.image.manifest.v1+json", digest, 10)
    return ManifestSummary(described, True, platform=platform, **given)


def test_the_list_tells_what_each_takes_and_who_uses_it():
    whole = image(
        tags=("alpine:3", "alpine:latest"),
        containers=1,
        manifests=(manifest(DIGEST, Platform("linux", "amd64"), content=1_000_000),),
    )
    assert tree_text(tree_rows(whole, opened=False)) == (
        "IMAGE           ID             DISK USAGE   CONTENT SIZE   EXTRA\n"
        "alpine:3        abababababab       8.65MB            1MB   U\n"
        "alpine:latest   abababababab       8.65MB            1MB   U\n"
    )


def test_the_tree_has_every_platform_below_its_image():
    whole = image(
        tags=("a:1", "b:1"),
        manifests=(
            manifest(
                DIGEST, Platform("linux", "amd64"), content=10, unpacked=90, containers=("x",)
            ),
            manifest(OTHER, Platform("linux", "arm64", "v8")),
            manifest(OTHER, None, kind="attestation"),
        ),
    )
    assert tree_rows(whole, opened=True) == [
        ("a:1", "", "", "", ""),
        ("b:1", "abababababab", "7.65MB", "10B", ""),
        ("├─ linux/amd64", "cdcdcdcdcdcd", "100B", "10B", "U"),
        ("└─ linux/arm64/v8", "efefefefefef", "0B", "0B", ""),
    ]


@pytest.mark.parametrize("hides", [True, False])
def test_the_list_hides_what_has_no_name_unless_it_is_asked_for(hides, capfd):
    print_tree([image(), image(tags=("a:1",))], opened=False, hides_dangling=hides)
    out = capfd.readouterr().out.split("\n")
    assert [line.split()[0] for line in out[1:-1]] == ["a:1"] + ["<untagged>"] * (not hides)


def test_history_tells_what_docker_tells():
    line = HistoryLine(ID, NOW - 60, "RUN\techo \x1b[31m" + "x" * 60, size=1500, comment="\x07")
    (row,) = history_rows([line], truncates=True, human=True, now=NOW)
    assert row["ID"] == "ab" * 6
    assert row["CreatedSince"] == "About a minute ago"
    assert row["CreatedBy"] == "RUN echo ?[31m" + "x" * 30 + "…"
    assert row["Size"] == "1.5kB"
    assert row["Comment"] == "?"
    (row,) = history_rows([line], truncates=False, human=False, now=NOW)
    assert row["ID"] == ID
    assert row["CreatedSince"] == "2023-11-14T22:12:20Z"
    assert row["Size"] == "1500"
    assert len(row["CreatedBy"]) == 74
    (row,) = history_rows([HistoryLine()], truncates=True, human=True, now=NOW)
    assert (row["ID"], row["CreatedSince"]) == ("<missing>", "N/A")


def test_what_the_disk_holds_is_a_row_for_each_kind():
    usage = DiskUsage(
        images=UsageTally(3, 1, 3_000_000, 1_000_000), containers=UsageTally(2, 0, 0, 0)
    )
    rows = usage_rows(usage)
    assert [row["Type"] for row in rows] == [
        *("Images", "Containers", "Local Volumes", "Build Cache")
    ]
    assert dict(rows[0]) == {
        "Type": "Images",
        "TotalCount": "3",
        "Active": "1",
        "Size": "3MB",
        "Reclaimable": "1MB (33%)",
    }
    assert rows[1]["Reclaimable"] == "0B"


def test_a_finding_is_one_line():
    found = Finding("damaged blob", "/r/\x1b[31m", "its bytes", DIGEST, "removed", "pull it again")
    assert finding_line(found) == "damaged blob: /r/?[31m: its bytes; removed; pull it again"
    assert finding_line(Finding("leftover", "/r", "a part")) == "leftover: /r: a part"


def test_what_a_registry_found_does_not_reach_the_terminal():
    about = "A tiny\nthing \x1b]0;x\x07" + "x" * 60
    found = {"name": "a\x1b", "description": about, "star_count": 7, "is_official": True}
    (row,) = search_rows([found], truncates=True)
    assert row["Name"] == "a?"
    assert row["Description"] == "A tiny thing ?]0;x?" + "x" * 25 + "…"
    assert (row["StarCount"], row["IsOfficial"], row["IsAutomated"]) == ("7", "[OK]", "")
    (row,) = search_rows([{"name": None}], truncates=True)
    assert (row["Name"], row["Description"], row["StarCount"]) == ("", "", "0")


def test_json_has_every_field_of_an_image(capfd):
    layout = Layout({"ID": "IMAGE ID"}, ("ID",), quiet="ID")
    rows = image_rows([image(tags=("a:1",))], truncates=True, now=NOW)
    Format.parse("json", layout).print(rows)
    assert json.loads(capfd.readouterr().out)["Repository"] == "a"
