"""A queue that the reference's agents see, and finish steps of."""

from tests.interop.fleet import Fleet
from tests.mounts import until


def test_the_reference_sees_what_is_planned_and_completes_what_comes_first(fleet: Fleet) -> None:
    """A step that was nothing yet is pending from then on, for the reference as well."""
    fleet.tree.out("echo first > steps/second/after; : > steps/first/after")
    for step in ("first", "second"):
        assert fleet.reference.out("step-status", step).startswith(f"{step}: pending")
    assert fleet.tree.out("ls ready") == "first\n"
    with fleet.tree.popen("cat ready/take; cat ready/take") as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "first\n"
        assert fleet.reference.out("step-status", "first").startswith("first: in_progress")
        fleet.tree.out("echo complete > steps/first/status")
        assert worker.communicate(timeout=20)[0] == "second\n"
    fleet.tree.out("echo complete > steps/second/status; echo third > steps/fourth/after")
    fleet.reference.out("claim", "third")
    fleet.reference.out("complete", "third")
    until(lambda: fleet.tree.out("ls ready") == "fourth\n", "what comes after it")
