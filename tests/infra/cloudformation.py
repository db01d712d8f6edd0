"""A template as plain values for given conditions, where moto keeps too little to read back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

_NOTHING = {"Ref": "AWS::NoValue"}


class _Loader(yaml.SafeLoader):
    """Reads `!Tag value` as `{"Fn::Tag": value}`, and `!Ref name` as `{"Ref": name}`."""


def _intrinsic(loader: _Loader, tag: str, node: yaml.Node) -> dict[str, Any]:
    key = tag if tag == "Ref" else f"Fn::{tag}"
    if isinstance(node, yaml.ScalarNode):
        return {key: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {key: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.MappingNode)
    return {key: loader.construct_mapping(node, deep=True)}


_Loader.add_multi_constructor("!", _intrinsic)


def load(template: Path) -> dict[str, Any]:
    """The document, intrinsic functions in their long form."""
    document: dict[str, Any] = yaml.load(template.read_text("utf-8"), _Loader)  # noqa: S506
    return document


def resources(template: Path, conditions: Mapping[str, bool]) -> dict[str, dict[str, Any]]:
    """Resources of the document where these conditions hold; Ref and the like stay as they are."""
    return {
        name: _decide(resource["Properties"], conditions)
        for name, resource in load(template)["Resources"].items()
        if conditions.get(resource.get("Condition", ""), True)
    }


def _decide(node: Any, conditions: Mapping[str, bool]) -> Any:  # noqa: ANN401 - YAML
    if isinstance(node, list):
        decided = [_decide(entry, conditions) for entry in node]
        return [entry for entry in decided if entry != _NOTHING]
    if not isinstance(node, dict):
        return node
    if set(node) == {"Fn::If"}:
        condition, then, otherwise = node["Fn::If"]
        return _decide(then if conditions[condition] else otherwise, conditions)
    decided_entries = {key: _decide(value, conditions) for key, value in node.items()}
    return {key: value for key, value in decided_entries.items() if value != _NOTHING}
