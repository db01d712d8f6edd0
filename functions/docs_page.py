"""The API's documentation as one static page, made from the OpenAPI document.

No script, no style sheet and no font from elsewhere: it works without a network and under a
content security policy that allows nothing but its own style.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from typing import Any

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 54rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 3rem; border-top: 1px solid #8886; padding-top: 1rem; }
code, pre { font: 14px/1.4 ui-monospace, monospace; }
pre { overflow-x: auto; padding: .75rem; border: 1px solid #8886; border-radius: 4px; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0; }
td { border-top: 1px solid #8883; }
"""

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; style-src "
    f"'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'"
)
"""Sent with the page."""


def docs_page(document: dict[str, Any]) -> str:
    """The page. Everything that comes from the document is escaped."""
    info = document["info"]
    title = f"{_text(info['title'])} {_text(info['version'])}"
    operations = [
        _operation(method, path, description, document)
        for path, methods in document["paths"].items()
        for method, description in methods.items()
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1><p>{_text(info['summary'])}</p>"
        '<p>For programs: <a href="openapi.json">openapi.json</a>.</p>'
        f"{_contents(document)}{''.join(operations)}</body></html>\n"
    )


def _contents(document: dict[str, Any]) -> str:
    rows = [
        f'<li><a href="#{_anchor(description)}"><code>{method.upper()} {_text(path)}</code></a> '
        f"{_text(description['summary'])}</li>"
        for path, methods in document["paths"].items()
        for method, description in methods.items()
    ]
    return f"<ul>{''.join(rows)}</ul>"


def _operation(
    method: str, path: str, description: dict[str, Any], document: dict[str, Any]
) -> str:
    parts = [
        f'<h2 id="{_anchor(description)}"><code>{method.upper()} {_text(path)}</code></h2>',
        f"<p>{_text(description.get('description', description['summary']))}</p>",
        _parameters(description.get("parameters", [])),
    ]
    body = description.get("requestBody", {}).get("content", {}).get("application/json")
    if body is not None:
        parts += [_fields(_resolve(body["schema"], document)), _examples(body.get("examples", {}))]
    parts.append(_answers(description["responses"]))
    return "".join(parts)


def _parameters(parameters: list[dict[str, Any]]) -> str:
    rows = [
        (f"<code>{_text(item['name'])}</code>", item["in"], _text(item.get("description", "")))
        for item in parameters
    ]
    return _table("Parameters", rows)


def _fields(schema: dict[str, Any]) -> str:
    required = schema.get("required", [])
    rows = [
        (
            f"<code>{_text(name)}</code>",
            "required" if name in required else "",
            _text(field.get("description", "")),
        )
        for name, field in schema["properties"].items()
    ]
    return _table("Fields of the body", rows)


def _examples(examples: dict[str, Any]) -> str:
    return "".join(
        f"<p>{_text(example['summary'])}:</p>{_json(example['value'])}"
        for example in examples.values()
    )


def _answers(answers: dict[str, Any]) -> str:
    rows = [
        (f"<code>{status}</code>", _text(item["description"])) for status, item in answers.items()
    ]
    content = answers["200"].get("content", {}).get("application/json", {})
    example = _json(content["example"]) if "example" in content else ""
    return _table("Answers", rows) + example


def _table(caption: str, rows: Sequence[tuple[str, ...]]) -> str:
    if not rows:
        return ""
    cells = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<h3>{caption}</h3><table>{cells}</table>"


def _resolve(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    name = schema["$ref"].rpartition("/")[2]
    resolved: dict[str, Any] = document["components"]["schemas"][name]
    return resolved


def _json(value: object) -> str:
    return f"<pre>{_text(json.dumps(value, indent=2))}</pre>"


def _anchor(description: dict[str, Any]) -> str:
    return _text(description["operationId"])


def _text(value: object) -> str:
    return html.escape(str(value))
