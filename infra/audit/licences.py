"""Under which licences the packages are, and whether we allow them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageMetadata, distributions
from pathlib import Path

from license_expression import AND, OR, LicenseSymbol, Renderable, get_spdx_licensing

from infra.audit.locks import Pin

TABLE = Path(__file__).with_name("licences.toml")
_SPDX = get_spdx_licensing()
_CLASSIFIER = "License :: OSI Approved :: "


@dataclass(frozen=True, slots=True)
class Finding:
    """The licence of one package as an SPDX expression, where that comes from, what is wrong."""

    pin: Pin
    licence: str | None
    source: str
    problem: str | None = None


class Licences:
    """The table of what is allowed, and what is installed to look it up in."""

    def __init__(self, site_packages: Path, table: Path = TABLE) -> None:
        read = tomllib.loads(table.read_text("utf-8"))
        self._allowed = frozenset(read["allowed"])
        self._spellings: Mapping[str, str] = read["spellings"]
        self._reviewed: Mapping[str, Mapping[str, str]] = read.get("reviewed", {})
        found = distributions(path=[str(site_packages)])
        self._installed = {_normal(each.metadata["Name"]): each for each in found}

    @property
    def reviewed(self) -> Mapping[str, Mapping[str, str]]:
        """Packages that somebody looked at: licence and reason."""
        return self._reviewed

    def of(self, pin: Pin) -> Finding:
        """The licence of a package. A reviewed one must still say what it said."""
        installed = self._installed.get(pin.name)
        declared = self._declared(installed.metadata) if installed else None
        reviewed = self._reviewed.get(pin.name)
        if reviewed is not None:
            licence = reviewed["licence"]
            if declared not in (None, licence):
                return Finding(pin, declared, "metadata", f"reviewed as {licence}: review it anew")
            return Finding(pin, licence, f"reviewed: {reviewed['reason']}")
        if installed is None:
            return Finding(pin, None, "nowhere", "it is not installed here, so nobody knows")
        if declared is None:
            return Finding(pin, None, "metadata", "its metadata names no licence that we know")
        problem = None if self._is_allowed(declared) else "not on the list of what is allowed"
        return Finding(pin, declared, _source(pin, installed), problem)

    def _declared(self, metadata: PackageMetadata) -> str | None:
        """The expression of PEP 639, else the older field, else the classifiers, if they agree."""
        fields = metadata.json
        if "license_expression" in fields:
            return str(fields["license_expression"])
        field = self._known(str(fields.get("license", "")))
        if field is not None:
            return field
        lines = fields.get("classifier", [])
        named = {line.removeprefix(_CLASSIFIER) for line in lines if line.startswith(_CLASSIFIER)}
        known = {self._spellings.get(name) for name in named}
        return known.pop() if len(known) == 1 else None

    def _known(self, text: str) -> str | None:
        """A free text as an SPDX expression, if it is one or has its row in the table."""
        if text in self._spellings:
            return self._spellings[text]
        return text if text and not _SPDX.validate(text).errors else None

    def _is_allowed(self, expression: str) -> bool:
        return self._allows(_SPDX.parse(expression, validate=True))

    def _allows(self, part: Renderable) -> bool:
        if isinstance(part, AND):
            return all(map(self._allows, part.args))
        if isinstance(part, OR):
            return any(map(self._allows, part.args))
        return isinstance(part, LicenseSymbol) and part.key in self._allowed


def _source(pin: Pin, installed: Distribution) -> str:
    return "metadata" if installed.version == pin.version else f"metadata of {installed.version}"


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
