"""The official OpenAI client: embed, compare, and read what a refusal says.

Needs `pip install openai`.
"""

import os

import openai

MODEL = "all-MiniLM-L6-v2"
client = openai.OpenAI(
    base_url=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1"),
    api_key=os.environ.get("OPENAI_API_KEY", "none"),  # any text, where the server has no keys
)

answer = client.embeddings.create(model=MODEL, input=["A cat sleeps.", "A kitten naps."])
cat, kitten = (item.embedding for item in answer.data)
similarity = sum(a * b for a, b in zip(cat, kitten, strict=True))  # vectors have the length 1
print(f"{len(cat)} dimensions, {answer.usage.prompt_tokens} tokens, similarity {similarity:.3f}")

# What OpenAI's API does not have goes into extra_body; headers are in the raw response.
raw = client.embeddings.with_raw_response.create(
    model=MODEL, input="word " * 1000, extra_body={"truncate": "end"}
)
print(f"cut to {raw.parse().usage.prompt_tokens} tokens")
print(f"vector space {raw.headers['x-embellama-space']}")

try:
    client.embeddings.create(model=MODEL, input="word " * 1000)
except openai.BadRequestError as exc:
    print(f"refused: {exc.code}, {exc.param}")
