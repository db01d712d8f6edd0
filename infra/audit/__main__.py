"""Audits what we ship: `make audit`. Fails on a vulnerability, a licence, or unsafe code."""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Iterator
from pathlib import Path

from infra.audit.licences import TABLE, Finding, Licences
from infra.audit.locks import IMAGES, pins
from infra.audit.sbom import bill_of_materials
from infra.audit.vulnerabilities import ask

_ROOT = Path(__file__).resolve().parents[2]
_CODE = ("engine", "functions", "infra")


def main() -> int:
    """Run every part, also where one fails; 1 if any did."""
    parser = argparse.ArgumentParser(prog="python -m infra.audit", description=__doc__)
    parser.add_argument("--environment", type=Path, default=_ROOT / ".venv", help="what to look in")
    parser.add_argument("--output", type=Path, default=_ROOT / "build" / "sbom")
    parser.add_argument("--licences", type=Path, default=TABLE)
    parser.add_argument("--offline", action="store_true", help="ask nobody for vulnerabilities")
    given = parser.parse_args()
    (site_packages,) = given.environment.glob("lib/python*/site-packages")
    licences = Licences(site_packages, given.licences)
    images = {image: [licences.of(pin) for pin in pins(locks)] for image, locks in IMAGES.items()}
    everything = sorted({each for found in images.values() for each in found}, key=_by_name)
    failures = [
        *_check_licences(everything, licences),
        *([] if given.offline else _check_vulnerabilities(everything)),
        *_check_code(given.environment),
    ]
    given.output.mkdir(parents=True, exist_ok=True)
    for image, found in images.items():
        file = given.output / f"{image}.cdx.json"
        file.write_text(bill_of_materials(image, found), "utf-8")
        print(f"SBOM: {file}, {len(found)} packages, valid CycloneDX 1.6")
    for failure in failures:
        print(f"FAILED: {failure}")
    return 1 if failures else 0


def _by_name(finding: Finding) -> tuple[str, str]:
    return finding.pin.name, finding.pin.version


def _check_licences(findings: list[Finding], licences: Licences) -> Iterator[str]:
    for each in findings:
        print(f"licence: {each.pin.name} {each.pin.version}: {each.licence} ({each.source})")
        if each.problem is not None:
            yield f"the licence of {each.pin.name}, {each.licence}: {each.problem}"
    for name in sorted(licences.reviewed.keys() - {each.pin.name for each in findings}):
        yield f"the review of {name}'s licence: nothing ships it any more"


def _check_vulnerabilities(findings: list[Finding]) -> Iterator[str]:
    answer = ask([each.pin for each in findings])
    if answer.reason is not None:
        print(f"vulnerabilities: NOT CHECKED, {answer.reason}")
        return
    checked = len(findings) - len(answer.unchecked)
    print(f"vulnerabilities: {len(answer.found)} known in {checked} packages")
    if answer.unchecked:
        print(f"vulnerabilities: NOT CHECKED for {', '.join(answer.unchecked)}")
    yield from (f"vulnerable: {line}" for line in answer.found)


def _check_code(environment: Path) -> Iterator[str]:
    """Ruff's S rules, which are bandit's; and each place that is exempt from one."""
    ruff = [str(environment / "bin" / "ruff"), "check", "--select", "S", "--output-format"]
    done = subprocess.run([*ruff, "concise", *_CODE], cwd=_ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        yield f"unsafe code:\n{done.stdout}{done.stderr}"
        return
    exempt = subprocess.run(
        [*ruff, "concise", "--ignore-noqa", *_CODE], cwd=_ROOT, capture_output=True, text=True
    )
    places = [line for line in exempt.stdout.splitlines() if ": S" in line]
    print(f"code: ruff's S rules find nothing in {', '.join(_CODE)}; exempt, each with a reason:")
    print("\n".join(f"  {place}" for place in places))


if __name__ == "__main__":
    raise SystemExit(main())
