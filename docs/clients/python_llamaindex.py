"""LlamaIndex: an index that is searched by meaning. No language model takes part.

Needs `pip install llama-index-embeddings-openai-like`.
"""

import os

from llama_index.core import VectorStoreIndex
from llama_index.core.schema import TextNode
from llama_index.embeddings.openai_like import OpenAILikeEmbedding

embeddings = OpenAILikeEmbedding(
    model_name="all-MiniLM-L6-v2",
    api_base=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1"),
    api_key=os.environ.get("OPENAI_API_KEY", "none"),
    embed_batch_size=64,
)
nodes = [
    TextNode(text=text)
    for text in (
        "Bread rises because yeast makes gas.",
        "A tyre should be changed when its tread is worn.",
        "The library lends books for four weeks.",
    )
]
index = VectorStoreIndex(nodes, embed_model=embeddings)
for found in index.as_retriever(similarity_top_k=2).retrieve("Why does dough grow?"):
    print(f"{found.score:.3f}  {found.text}")
