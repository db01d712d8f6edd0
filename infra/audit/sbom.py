"""Bills of materials in CycloneDX's JSON, checked against its schema."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

from cyclonedx.factory.license import LicenseFactory
from cyclonedx.model import Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from infra.audit.licences import Finding

HASH_PROPERTY = "embellama:lock:sha256"
"""SHA-256 of a file that may be installed as the package."""
_PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


def bill_of_materials(image: str, findings: Sequence[Finding]) -> str:
    """The Python packages of an image: version, licence, and the hash of each allowed file.

    What the image's base brings, and what packages bring compiled in, is not in it.

    Raises:
        ValueError: it does not fit CycloneDX's schema.
    """
    project = tomllib.loads(_PROJECT.read_text("utf-8"))["project"]
    licences = LicenseFactory()
    product = Component(
        type=ComponentType.APPLICATION,
        name=f"{project['name']}-{image}",
        version=project["version"],
        licenses=[licences.make_from_string(project["license"])],
        bom_ref=f"{project['name']}-{image}",
    )
    bom = Bom(components=[_component(finding, licences) for finding in findings])
    bom.metadata.component = product
    bom.register_dependency(product, bom.components)
    text = JsonV1Dot6(bom).output_as_string(indent=2)
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if error is not None:
        raise ValueError(f"The bill of {image} is not valid CycloneDX: {error}")
    return text


def _component(finding: Finding, licences: LicenseFactory) -> Component:
    pin = finding.pin
    purl = PackageURL("pypi", name=pin.name, version=pin.version)
    return Component(
        type=ComponentType.LIBRARY,
        name=pin.name,
        version=pin.version,
        purl=purl,
        bom_ref=str(purl),
        licenses=[licences.make_from_string(finding.licence)] if finding.licence else [],
        # Not as `hashes`, which are those of one file by several algorithms.
        properties=[Property(name=HASH_PROPERTY, value=digest) for digest in pin.hashes],
    )
