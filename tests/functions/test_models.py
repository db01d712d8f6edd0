from __future__ import annotations

import pytest

from engine.engine import Engine
from engine.errors import CertificateError, NotReadyError, ShuttingDownError, SourceError
from functions.errors import ModelNotFoundError
from functions.models import ModelRegistry, ModelState, ServedModel


def _certificate_failure() -> Engine:
    raise CertificateError("The vectors differ.")


def _source_failure() -> Engine:
    raise SourceError("There are no files.")


def test_a_model_takes_the_name_of_its_manifest(engine: Engine) -> None:
    registry = ModelRegistry.of(engine)
    assert registry.get("fake-model").engine is engine


def test_the_settings_may_give_another_name(engine: Engine) -> None:
    registry = ModelRegistry.of(engine, "other")
    assert registry.get("other").engine is engine
    with pytest.raises(ModelNotFoundError, match="Served: other"):
        registry.get("fake-model")


def test_an_alias_finds_the_model(engine: Engine) -> None:
    model = ServedModel(None, aliases=["text-embedding-3-small"])
    model.be_ready(engine)
    assert ModelRegistry([model]).get("text-embedding-3-small") is model


def test_while_loading_nothing_is_ready() -> None:
    registry = ModelRegistry([ServedModel("m")])
    assert registry.state() is ModelState.LOADING
    with pytest.raises(NotReadyError, match="loading"):
        registry.check_ready()
    with pytest.raises(NotReadyError, match="loading"):
        _ = registry.get("m").engine


def test_a_name_is_unknown_only_when_all_names_are_known() -> None:
    with pytest.raises(NotReadyError):
        ModelRegistry([ServedModel(None)]).get("m")
    with pytest.raises(ModelNotFoundError):
        ModelRegistry([ServedModel("other")]).get("m")


def test_loading_makes_it_ready(engine: Engine) -> None:
    model = ServedModel(None)
    model.load(lambda: engine)
    registry = ModelRegistry([model])
    registry.check_ready()
    assert (registry.state(), model.name) == (ModelState.READY, "fake-model")


def test_a_model_with_other_vectors_is_kept_out_and_says_why() -> None:
    model = ServedModel("m")
    model.load(_certificate_failure)
    registry = ModelRegistry([model])
    assert registry.state() is ModelState.FAILED
    with pytest.raises(NotReadyError, match="not served: its vectors are not the certified ones"):
        registry.check_ready()
    assert model.detail == "The vectors differ."


def test_any_other_failure_goes_to_the_caller() -> None:
    with pytest.raises(SourceError):
        ServedModel("m").load(_source_failure)


def test_draining_refuses_new_work_but_keeps_the_engine(engine: Engine) -> None:
    registry = ModelRegistry.of(engine)
    registry.drain()
    assert registry.state() is ModelState.DRAINING
    with pytest.raises(ShuttingDownError):
        registry.check_accepting()
    with pytest.raises(ShuttingDownError):
        registry.check_ready()
    assert registry.get("fake-model").engine is engine


def test_closing_closes_the_engines(engine: Engine) -> None:
    ModelRegistry([ServedModel("loading"), *ModelRegistry.of(engine).models]).close()
    with pytest.raises(ShuttingDownError):
        engine.embed("a")
