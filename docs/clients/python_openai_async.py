"""The official OpenAI client with asyncio: many requests at a time, a few under way.

Needs `pip install openai`.
"""

import asyncio
import os

from openai import AsyncOpenAI

MODEL = "all-MiniLM-L6-v2"
TEXTS = [f"Number {number} of many texts." for number in range(1000)]
TEXTS_A_REQUEST = 64
REQUESTS_AT_A_TIME = 4


async def embed_all(client: AsyncOpenAI, texts: list[str]) -> list[list[float]]:
    """One vector for each text, in their order.

    The client waits and asks again when the server has too much to do (429), as the server says.
    """
    free = asyncio.Semaphore(REQUESTS_AT_A_TIME)

    async def embed(part: list[str]) -> list[list[float]]:
        async with free:
            answer = await client.embeddings.create(model=MODEL, input=part)
        return [item.embedding for item in answer.data]

    starts = range(0, len(texts), TEXTS_A_REQUEST)
    parts = [texts[start : start + TEXTS_A_REQUEST] for start in starts]
    return [vector for vectors in await asyncio.gather(*map(embed, parts)) for vector in vectors]


async def main() -> None:
    async with AsyncOpenAI(
        base_url=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1"),
        api_key=os.environ.get("OPENAI_API_KEY", "none"),
        max_retries=5,
    ) as client:
        vectors = await embed_all(client, TEXTS)
    print(f"{len(vectors)} vectors of {len(vectors[0])} dimensions")


asyncio.run(main())
