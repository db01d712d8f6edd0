"""LangChain: a vector store that is searched by meaning.

Needs `pip install langchain-openai`.
"""

import os

from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import OpenAIEmbeddings
from pydantic import SecretStr

embeddings = OpenAIEmbeddings(
    model="all-MiniLM-L6-v2",
    base_url=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1"),
    api_key=SecretStr(os.environ.get("OPENAI_API_KEY", "none")),
    check_embedding_ctx_length=False,  # or it sends ids of OpenAI's tokenizer; see README.md
)
store = InMemoryVectorStore(embeddings)
store.add_texts(
    [
        "Bread rises because yeast makes gas.",
        "A tyre should be changed when its tread is worn.",
        "The library lends books for four weeks.",
    ]
)
for document, score in store.similarity_search_with_score("Why does dough grow?", k=2):
    print(f"{score:.3f}  {document.page_content}")
