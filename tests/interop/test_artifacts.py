"""An artifact is one object, whether `tracecraft artifact` or a file operation acts on it."""

import os
from pathlib import Path

import pytest

from tests.interop.fleet import Fleet

BINARY = bytes(range(256)) * 9000  # 2.3 MB


def test_uploaded_artifact_is_a_file(fleet: Fleet) -> None:
    reference = fleet.reference
    (reference.home / "up.bin").write_bytes(BINARY)
    reference.out("artifact", "upload", "up.bin")
    reference.out("artifact", "upload", "up.bin", "--step", "S1.A")
    for path in ("artifacts/shared/up.bin", "artifacts/s1-a/up.bin", "artifacts/S1.A/up.bin"):
        assert (fleet.tree.path / path).read_bytes() == BINARY
    assert {"shared", "s1-a"} <= set(fleet.tree.out("ls artifacts").split())


@pytest.mark.parametrize("size", [0, 10, 9 << 20])
def test_file_is_an_artifact_that_can_be_downloaded(fleet: Fleet, size: int) -> None:
    content, name = os.urandom(size), f"down-{size}.bin"
    fleet.tree.out("echo > steps/S2.B/claim || true")
    for path, how in (("shared", ()), ("S2.B", ("--step", "S2.B"))):
        (fleet.tree.path / "artifacts" / path / name).write_bytes(content)
        fleet.reference.out("artifact", "download", name, "-o", "got.bin", *how)
        assert (fleet.reference.home / "got.bin").read_bytes() == content
        assert name in fleet.reference.out("artifact", "list", *how)
    assert f"artifacts/s2-b/{name}" in fleet.reference.out("artifact", "list")


def test_file_below_a_directory_is_listed_and_downloaded_by_its_path(fleet: Fleet) -> None:
    fleet.tree.out("mkdir -p artifacts/shared/a/b; echo v > 'artifacts/shared/a/b/f g.txt'")
    assert "a/b/f g.txt" in fleet.reference.out("artifact", "list")
    target = str(Path(fleet.reference.home / "nested"))
    fleet.reference.out("artifact", "download", "a/b/f g.txt", "-o", target)
    assert Path(target).read_text() == "v\n"


def test_renamed_and_removed_artifacts_are_so_for_both(fleet: Fleet) -> None:
    (fleet.reference.home / "moves").write_text("v\n")
    fleet.reference.out("artifact", "upload", "moves")
    fleet.tree.out("mkdir -p artifacts/s3; mv artifacts/shared/moves artifacts/s3/moved")
    assert "artifacts/s3/moved" in fleet.reference.out("artifact", "list", "--step", "S3")
    assert "Artifact not found" in fleet.reference.refusal("artifact", "download", "moves")
    fleet.tree.out("rm artifacts/s3/moved")
    assert "No artifacts found" in fleet.reference.out("artifact", "list", "--step", "S3")
