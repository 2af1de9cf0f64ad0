"""What can be no name, and what lies in a bucket that is no document, through both doors."""

from errno import EEXIST, EINVAL, ENOENT

import pytest

from tests.doors.denied import denied
from tests.doors.hands import Door

NO_STEPS = ["_x", " ", "a\nb", "x" * 201, "a\udcff"]
NO_DOCUMENTS = [b"", b"\x00\xff", b"[]", b"null", b"{}", b'{"agent": 7, "value": {"a": [1]}}']


@pytest.mark.parametrize("name", [".x", *NO_STEPS])
def test_what_is_no_id_is_no_step(door: Door, name: str) -> None:
    """An id has 1 to 200 bytes of UTF-8, no `/`, no control characters, and does not begin with
    `.` or `_`."""
    with denied(EINVAL, "is no step id" if name == ".x" else ""):
        door.designer.mkdir(f"steps/{name}")
    # Desktops look for names with a dot everywhere, and are told nothing of ids.
    with denied(ENOENT if name == ".x" else EINVAL):
        door.designer.stat(f"steps/{name}")
    with denied(ENOENT if name == ".x" else EINVAL):
        door.designer.write(f"steps/{name}/claim", "mine\n")


@pytest.mark.parametrize("name", [".foo", ".git", "a\nb", "a\udcff", " "])
def test_names_no_file_of_a_step_may_have(door: Door, x: str, name: str) -> None:
    """Any other name that begins with `.` is EINVAL there."""
    with denied(ENOENT):
        door.designer.stat(f"steps/{x}/{name}")
    with denied(EINVAL, ""):
        door.designer.write(f"steps/{x}/{name}", "v\n")
    assert door.bucket.keys(f"steps/{x}/") == []


@pytest.mark.parametrize("directory", ["memory", "agents", "messages/developer", "steps/x"])
def test_names_with_a_dot_are_refused_where_names_mean_something(
    door: Door, directory: str
) -> None:
    """Any other name that begins with `.` is EINVAL there."""
    with denied(EINVAL, ""):
        door.designer.write(f"{directory}/.env", "secret\n")


@pytest.mark.parametrize("body", NO_DOCUMENTS)
def test_what_is_no_document_hides_nothing_else(door: Door, x: str, body: bytes) -> None:
    """What is no document shows as little as can be said of it, and hides nothing else."""
    reader = f"{x}-reader"
    door.designer.write(f"as/{reader}/agents/{reader}", "reading\n")
    door.designer.write(f"memory/{x}.k", "v\n")
    door.designer.append(f"messages/{reader}/inbox", "hi\n")
    for key in (
        f"memory/{x}/foreign.json",
        f"memory/_history/{x}/k/1700000000000000000_x_00000000.json",
        f"steps/{x}/claim.json",
        f"steps/{x}/status.json",
        f"steps/{x}/handoff.json",
        f"messages/{reader}/1700000000000000000_x_00000000.json",
        f"messages/{reader}/_cursor.json",
        f"agents/{x}.json",
    ):
        door.bucket.place(key, body)
    for directory in ("memory", "steps", "agents", f"messages/{reader}", f"steps/{x}"):
        assert door.designer.ls(directory)
    assert door.designer.read(f"memory/{x}.k") == "v\n"
    assert "(direct) designer: hi\n" in door.designer.read(f"messages/{reader}/inbox")
    assert x in door.designer.read("status")
    for path in (f"steps/{x}/status", f"agents/{x}", "status.json"):
        assert door.designer.read(path)
    door.designer.write(f"memory/{x}.foreign", "new\n")
    assert door.designer.read(f"memory/{x}.foreign") == "new\n"
    for key in door.bucket.keys(f"steps/{x}/"):
        door.bucket.remove(key)
    door.bucket.remove(f"agents/{x}.json")


def test_claim_that_is_no_document_is_held_by_unknown(door: Door, x: str) -> None:
    door.bucket.place(f"steps/{x}/claim.json", b"{")
    assert door.designer.read(f"steps/{x}/owner") == "unknown\n"
    with denied(EEXIST, "held by unknown"):
        door.designer.write(f"steps/{x}/claim", "mine\n")
