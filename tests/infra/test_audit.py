"""`make audit`, all but what asks the network, and what it says when nobody answers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from infra.audit.locks import IMAGES, PYTHON, Pin, pins
from infra.audit.vulnerabilities import read
from tests.infra.tools import INFRA, ROOT, pinned

TABLE = INFRA / "audit" / "licences.toml"
HASH = "0" * 64


def audit(output: Path, table: Path = TABLE) -> subprocess.CompletedProcess[str]:
    """The audit of this environment."""
    command = [pinned("python", "audit"), "-m", "infra.audit", "--environment", sys.prefix]
    command += ["--output", str(output), "--licences", str(table), "--offline"]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


@pytest.fixture(scope="module")
def bills(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the bills of materials are, after an audit that found nothing wrong."""
    directory = tmp_path_factory.mktemp("sbom")
    done = audit(directory)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ruff's S rules find nothing" in done.stdout
    return directory


@pytest.mark.parametrize("image", IMAGES)
def test_a_bill_lists_what_the_image_installs(image: str, bills: Path) -> None:
    """Each pin with its licence and hashes; the audit has checked it against the schema."""
    bill = json.loads((bills / f"{image}.cdx.json").read_text("utf-8"))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert all(component["licenses"] for component in bill["components"])
    listed = [
        Pin(
            component["name"],
            component["version"],
            tuple(sorted(each["value"] for each in component["properties"])),
        )
        for component in bill["components"]
    ]
    wanted = [Pin(pin.name, pin.version, tuple(sorted(pin.hashes))) for pin in pins(IMAGES[image])]
    assert sorted(listed) == wanted
    assert len(wanted) > 30


def test_every_image_is_audited() -> None:
    """The lock files that Dockerfiles and packagers install, for the Python of their bases."""
    audited = {name for locks in IMAGES.values() for name in locks}
    for file in (ROOT / "Dockerfile.gpu", ROOT / "Dockerfile.lambda"):
        text = file.read_text("utf-8")
        assert f"python:{PYTHON}" in text
        installed = {lock.stem for lock in (INFRA / "locks").iterdir() if lock.name in text}
        assert installed
        assert installed <= audited | {"build"}


def test_what_builds_is_audited_and_in_no_image() -> None:
    """`make serve` has it, as it installs the code to be edited; an image has the code alone."""
    builds = pins(["build"])
    assert set(builds) <= set(pins(IMAGES["serve"]))
    names = {pin.name for pin in builds} - {"packaging"}  # which a client of Redis needs, too
    assert "hatchling" in names
    for image in IMAGES.keys() - {"serve"}:
        assert names.isdisjoint(pin.name for pin in pins(IMAGES[image])), image


def test_a_licence_that_nobody_reviewed_fails(tmp_path: Path) -> None:
    """So does one that was reviewed as another, and a review of what is not shipped any more."""
    text = TABLE.read_text("utf-8")
    for package, other in (("[reviewed.certifi]", "[reviewed.gone]"), ("MPL-2.0 AND MIT", "MIT")):
        assert text.count(package) == 1
        text = text.replace(package, other)
    table = tmp_path / "licences.toml"
    table.write_text(text, "utf-8")
    done = audit(tmp_path / "sbom", table)
    failures = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert failures == [
        "FAILED: the licence of certifi, MPL-2.0: not on the list of what is allowed",
        "FAILED: the licence of tqdm, MPL-2.0 AND MIT: reviewed as MIT: review it anew",
        "FAILED: the review of gone's licence: nothing ships it any more",
    ]
    assert done.returncode == 1


def test_a_lock_is_read_for_linux_and_nothing_in_it_is_overlooked(tmp_path: Path) -> None:
    """Markers choose; a line that is neither a pin nor a hash is an error."""
    lock = tmp_path / "some.txt"
    lock.write_text(
        f"a==1 ; python_full_version < '{PYTHON}' \\\n    --hash=sha256:{HASH}\n"
        f"a==2 ; python_full_version >= '{PYTHON}' \\\n    --hash=sha256:{HASH} \\\n"
        f"    --hash=sha256:{HASH}\nb==3 ; sys_platform == 'win32' \\\n    --hash=sha256:{HASH}\n"
    )
    assert pins(["some"], tmp_path) == [Pin("a", "2", (HASH, HASH))]
    lock.write_text("a @ file:///a.whl\n")
    with pytest.raises(ValueError, match="neither a pinned package nor a hash"):
        pins(["some"], tmp_path)


def test_a_vulnerability_is_told_with_its_cure() -> None:
    rows = [
        {"name": "a", "version": "1", "vulns": [{"id": "X-1", "fix_versions": ["2"]}]},
        {"name": "b", "version": "1", "vulns": []},
    ]
    answer = read(json.dumps({"dependencies": rows}), "", ["a", "b"])
    assert (answer.found, answer.unchecked) == (("a 1: X-1, fixed in ['2']",), ())


def test_packages_that_were_not_looked_up_are_not_called_good() -> None:
    """Where all were skipped, nothing was checked; where some were, these are named."""
    skipped = {"name": "a", "skip_reason": "Dependency not found"}
    none = read(json.dumps({"dependencies": [skipped]}), "No known vulnerabilities found", ["a"])
    assert (none.unchecked, none.reason) == (("a",), "its data can't be had from here")
    rows = [skipped, {"name": "b", "version": "1", "vulns": []}]
    some = read(json.dumps({"dependencies": rows}), "", ["a", "b"])
    assert (some.unchecked, some.reason) == (("a",), None)


def test_an_audit_that_fails_says_why() -> None:
    answer = read("", "Traceback\nConnectionError: no such host\n", ["a"])
    assert (answer.unchecked, answer.reason) == (("a",), "ConnectionError: no such host")
