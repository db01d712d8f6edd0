"""A model may put a prompt before every text of a request that names none."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from engine.errors import UnknownPromptError
from engine.model import Manifest, fingerprint
from engine.testing import fake_engine, fake_tokenizer
from engine.tokenizer import Tokenizer
from engine.types import Pooling

PROMPTS = {"query": "the cat", "document": "a dog"}


def _tokenizer(default_prompt_name: str | None) -> Tokenizer:
    return Tokenizer(
        fake_tokenizer(),
        vocabulary_size=16,
        max_input_tokens=32,
        max_client_batch_size=4,
        max_request_tokens=100,
        prompts={name: f"{text} " for name, text in PROMPTS.items()},
        default_prompt_name=default_prompt_name,
    )


@pytest.mark.parametrize("inputs", ["sat on", [2, 8, 9, 3]])
def test_a_request_without_prompt_name_gets_the_default(inputs: str | list[int]) -> None:
    expected = _tokenizer(None).encode(inputs, prompt_name="query")[0].input_ids
    (found,) = _tokenizer("query").encode(inputs)
    assert expected.tolist() == found.input_ids.tolist()


def test_a_named_prompt_replaces_the_default() -> None:
    expected = _tokenizer(None).encode("sat", prompt_name="document")[0].input_ids
    (found,) = _tokenizer("query").encode("sat", prompt_name="document")
    assert np.array_equal(expected, found.input_ids)


def test_an_unknown_prompt_is_still_refused() -> None:
    with pytest.raises(UnknownPromptError):
        _tokenizer("query").encode("sat", prompt_name="none")


def test_the_default_must_be_among_the_prompts() -> None:
    with fake_engine() as engine:
        document = engine.manifest.model_dump(by_alias=True)
    with pytest.raises(ValidationError, match="default_prompt_name"):
        Manifest.model_validate(document | {"default_prompt_name": "query"})


def test_the_default_is_part_of_the_space_only_where_there_is_one() -> None:
    def space(default_prompt_name: str | None) -> str:
        return fingerprint(
            weights_sha256="0" * 64,
            tokenizer_sha256="1" * 64,
            pooling=Pooling.MEAN,
            normalize=True,
            max_input_tokens=8,
            prompts=PROMPTS,
            default_prompt_name=default_prompt_name,
        )

    assert len({space(None), space("query"), space("document")}) == 3
    assert space(None) == "09a23c65085fe050de09101b80172fcb"
