"""Search texts of your own by meaning: embed, rank, print. Needs nothing but Python.

    python3 docs/clients/python_search.py TEXTS "what you look for"

TEXTS is a file with one text a line.
"""

import argparse
import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

URL = os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1")
KEY = os.environ.get("OPENAI_API_KEY", "none")
TEXTS_A_REQUEST = 256


def main() -> None:
    parser = argparse.ArgumentParser(description="Search texts by meaning.")
    parser.add_argument("texts", type=Path, metavar="TEXTS", help="a file with one text a line")
    parser.add_argument("query", metavar="QUERY", help="what to look for")
    parser.add_argument("--model", default="all-MiniLM-L6-v2")
    parser.add_argument("--top", type=int, default=5, metavar="N", help="how many to print")
    options = parser.parse_args()
    texts = [line.strip() for line in options.texts.read_text("utf-8").splitlines()]
    texts = [text for text in texts if text]
    vectors = embed(texts, options.model)
    [wanted] = embed([options.query], options.model)
    scores = [similarity(vector, wanted) for vector in vectors]
    ranked = sorted(zip(scores, texts, strict=True), reverse=True)
    for score, text in ranked[: options.top]:
        print(f"{score:.3f}  {text}")


def embed(texts: list[str], model: str) -> list[list[float]]:
    """One vector for each text. What is longer than the model takes is cut at its end."""
    vectors: list[list[float]] = []
    for start in range(0, len(texts), TEXTS_A_REQUEST):
        part = texts[start : start + TEXTS_A_REQUEST]
        answer = post({"model": model, "input": part, "truncate": "end"})
        vectors += [item["embedding"] for item in answer["data"]]
    return vectors


def post(body: dict) -> dict:
    """Ask the server; end with its own words if it refuses."""
    headers = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}
    request = urllib.request.Request(f"{URL}/embeddings", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request) as response:
            return json.load(response)
    except urllib.error.HTTPError as exc:
        sys.exit(f"The server answered {exc.code}: {json.load(exc)['error']['message']}")
    except urllib.error.URLError as exc:
        sys.exit(f"No server answers at {URL}: {exc.reason}.")


def similarity(one: list[float], other: list[float]) -> float:
    """The cosine of two vectors of length 1: from -1 to 1, higher is closer."""
    return sum(a * b for a, b in zip(one, other, strict=True))


if __name__ == "__main__":
    main()
