"""Which vectors are scaled to length 1: one rule for every kind of source."""

from __future__ import annotations

_LENGTH_COUNTS = frozenset({"dot", "euclidean", "manhattan"})
"""Similarity functions of sentence-transformers that the length of a vector takes part in."""


def normalization(
    option: bool | None,
    *,
    stated: bool | None,
    similarity: str | None = None,
    keeps_lengths: bool = False,
) -> tuple[bool, tuple[str, ...]]:
    """Whether vectors are normalised, and a line that says so where the source alone does not.

    The option decides; else a model that normalises does so; else one whose similarity counts
    lengths is left as it is; and all others are normalised, as other servers of embeddings do.

    Args:
        option: what the caller asks for, None where it is left to the source.
        stated: whether the source normalises, None where it says nothing of it.
        similarity: the similarity function that the source names.
        keeps_lengths: whether the source says that its vectors are to be left as they are.
    """
    if option is not None:
        return option, ()
    if stated:
        return True, ()
    reason = "the file says that they keep their length" if keeps_lengths else None
    if similarity in _LENGTH_COUNTS:
        reason = f"the model's similarity is {similarity!r}, which counts their length"
    if reason is not None:
        return False, (
            f"vectors are not normalised: {reason} (--normalize scales them to length 1)",
        )
    says = "does not say whether vectors are" if stated is None else "leaves vectors not"
    note = (
        f"vectors are normalised to length 1; the source {says} normalised "
        "(--no-normalize leaves them as they are)"
    )
    return True, (note,)
