"""Which containers a filter selects (row O21)."""

import pytest
from attrs import evolve
from hypothesis import example, given
from hypothesis import strategies as st

from pyengine.errors import InvalidRequest
from pyengine.model.filters import LIST_FILTERS, PRUNE_FILTERS, ContainerFilter
from pyengine.model.info import ContainerInfo
from pyengine.model.mounts import Mount, MountKind
from pyengine.model.spec import ContainerSpec
from pyengine.model.state import ContainerState, Status

NOW = 1_000_000.0


def info(number, **changes):
    state = changes.pop("state", ContainerState())
    spec = ContainerSpec(
        id=f"{number:064x}",
        name=f"name{number}",
        image="host:",
        argv=("true",),
        created=NOW - 100 + number,
    )
    return ContainerInfo(evolve(spec, **changes), state)


ONE = info(1, labels=(("tier", "db"), ("a", "b")), exposed=("80/tcp",))
TWO = info(2, name="web", labels=(("tier", "web"),), image="rootfs:/x")
THREE = info(
    3,
    state=ContainerState(status=Status.EXITED, exit_code=3),
    mounts=(Mount(MountKind.BIND, "/data", "/srv"),),
)
ALL = [ONE, TWO, THREE]


def selected(**filters):
    return ContainerFilter.parse(filters, LIST_FILTERS).select(ALL, NOW)


def test_without_filters_all_are_selected_the_newest_first():
    assert selected() == [THREE, TWO, ONE]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"name": "name"}, [THREE, ONE]),
        ({"name": "^/web$"}, [TWO]),
        ({"name": ["web", "name3"]}, [THREE, TWO]),
        ({"id": "0" * 10}, [THREE, TWO, ONE]),
        ({"id": ONE.id}, [ONE]),
        ({"label": "tier"}, [TWO, ONE]),
        ({"label": ["tier=db", "a"]}, [ONE]),
        ({"label": ["tier=db", "c"]}, []),
        ({"status": "exited"}, [THREE]),
        ({"status": ["exited", "created"]}, [THREE, TWO, ONE]),
        ({"exited": 3}, [THREE]),
        ({"exited": "0"}, []),
        ({"ancestor": "rootfs:/x"}, [TWO]),
        ({"before": "web"}, [ONE]),
        ({"since": ONE.id[:60] + "0001"}, [THREE, TWO]),
        ({"volume": "/data"}, [THREE]),
        ({"volume": "/srv"}, [THREE]),
        ({"network": "none"}, [THREE, TWO, ONE]),
        ({"network": "host"}, []),
        ({"expose": "80"}, [ONE]),
        ({"expose": "80/udp"}, []),
        ({"publish": "80"}, []),
        ({"health": "none"}, [THREE, TWO, ONE]),
        ({"health": "healthy"}, []),
        ({"is-task": "false"}, [THREE, TWO, ONE]),
        ({"is-task": "true"}, []),
        ({"isolation": "default"}, [THREE, TWO, ONE]),
        ({"name": "name", "status": "created"}, [ONE]),
        ({"label": []}, [THREE, TWO, ONE]),
    ],
)
def test_a_filter_selects_what_docker_selects(filters, found):
    assert selected(**filters) == found


def test_prune_takes_labels_that_must_not_be_there_and_an_age():
    def pruned(**filters):
        return ContainerFilter.parse(filters, PRUNE_FILTERS).select(ALL, NOW)

    assert pruned(**{"label!": "tier=db"}) == [THREE, TWO]
    assert pruned(until="98s") == [ONE]
    assert pruned(until=str(NOW)) == [THREE, TWO, ONE]
    assert pruned(until="1970-01-12T13:45:03Z") == [TWO, ONE]


@pytest.mark.parametrize(
    "filters",
    [
        {"colour": "red"},
        {"status": "sleeping"},
        {"exited": "soon"},
        {"health": "fine"},
        {"name": "("},
        {"until": "10m"},
        {"label!": "a"},
    ],
)
def test_a_filter_that_list_does_not_have_is_told(filters):
    with pytest.raises(InvalidRequest):
        ContainerFilter.parse(filters, LIST_FILTERS)


def test_a_container_to_compare_with_must_be_there():
    with pytest.raises(InvalidRequest, match="No such container"):
        selected(before="nobody")


@given(
    st.dictionaries(
        st.sampled_from(sorted(LIST_FILTERS)), st.lists(st.text(max_size=6), max_size=2), max_size=3
    )
)
@example({"name": ["[["]})
def test_any_text_is_a_filter_or_a_reason(filters):
    try:
        found = selected(**filters)
    except InvalidRequest:
        return
    assert all(one in ALL for one in found)
