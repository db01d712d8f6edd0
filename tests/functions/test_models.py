from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from engine.backends.fake import FakeBackend
from engine.engine import Engine
from engine.errors import (
    CertificateError,
    ConfigurationError,
    NotReadyError,
    ShuttingDownError,
    SourceError,
)
from engine.testing import fake_engine
from functions.errors import ModelNotFoundError, ReloadError
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
    for name in ("other", "fake-model"):
        assert registry.get(name).engine is engine
    with pytest.raises(
        ModelNotFoundError, match=r"Served: other, fake-model\..*--served-model-name"
    ):
        registry.get("another")


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
    registry = ModelRegistry([ServedModel("other")])
    with pytest.raises(NotReadyError):  # It may be the name in the manifest.
        registry.get("m")
    registry.models[0].load(fake_engine)
    with pytest.raises(ModelNotFoundError):
        registry.get("m")
    registry.close()


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


def test_two_models_of_one_name_are_refused() -> None:
    registry = ModelRegistry([ServedModel("a"), ServedModel("b", ["a"])])
    with pytest.raises(ConfigurationError, match="Two models have the name 'a'"):
        registry.check_names()
    ModelRegistry([ServedModel(None), ServedModel(None)]).check_names()


def _opener(*engines: Engine | Exception) -> Callable[[], Engine]:
    left = list(engines)

    def open_next() -> Engine:
        found = left.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    return open_next


def _wait_until_closed(engine: Engine) -> None:
    for thread in threading.enumerate():
        if thread.name == "embellama-close":
            thread.join()
    assert isinstance(engine.backend, FakeBackend)
    assert engine.backend.closed


def test_a_reload_puts_a_new_engine_in_the_place_of_the_old_one() -> None:
    old, new = fake_engine(), fake_engine()
    model = ServedModel("m")
    model.load(_opener(old, new))
    model.reload()
    assert model.engine is new
    _wait_until_closed(old)
    model.close()


def test_a_reload_lets_requests_end_that_use_the_old_engine() -> None:
    old, new = fake_engine(), fake_engine()
    model = ServedModel("m")
    model.load(_opener(old, new))
    with model.use() as used:
        model.reload()
        with model.use() as other:
            assert (used, other) == (old, new)
        assert used.embed("the cat").usage.prompt_tokens == 4
    _wait_until_closed(old)
    assert new.embed("the cat").usage.prompt_tokens == 4
    model.close()


def test_a_reload_that_fails_keeps_the_old_engine() -> None:
    old = fake_engine()
    model = ServedModel("m")
    model.load(_opener(old, SourceError("There are no files.")))
    with pytest.raises(ReloadError, match=r"still is\. There are no files"):
        model.reload()
    assert model.engine is old
    assert model.state is ModelState.READY
    assert old.embed("the cat").usage.prompt_tokens == 4
    model.close()


def test_a_reload_into_another_space_must_be_wanted() -> None:
    old, first, second = fake_engine(), fake_engine(), fake_engine()
    for engine in (first, second):
        engine.manifest = engine.manifest.model_copy(update={"fingerprint": "0" * 32})
    model = ServedModel("m")
    model.load(_opener(old, first, second))
    with pytest.raises(ReloadError, match="Its vector space is 0"):
        model.reload()
    assert model.engine is old
    _wait_until_closed(first)
    model.reload(allow_space_change=True)
    assert model.engine is second
    model.close()


def test_a_model_that_failed_its_check_may_be_reloaded() -> None:
    new = fake_engine()
    model = ServedModel("m")
    model.load(_opener(CertificateError("The vectors differ."), new))
    model.reload()
    assert (model.engine, model.state) == (new, ModelState.READY)
    model.close()


def test_one_reload_at_a_time() -> None:
    model = ServedModel("m")
    inside: list[str] = []

    def open_engine() -> Engine:
        if inside:
            with pytest.raises(ReloadError, match="being loaded already"):
                model.reload()
        inside.append("opened")
        return fake_engine()

    model.load(open_engine)
    model.reload()
    assert len(inside) == 2
    model.close()


def test_what_this_server_did_not_load_it_can_not_reload(engine: Engine) -> None:
    with pytest.raises(ReloadError):
        ModelRegistry.of(engine).models[0].reload()
