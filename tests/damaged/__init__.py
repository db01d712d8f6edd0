"""Damages models at random, and says which damage does more than one clear line.

`python -m tests.damaged --seed 7 --count 2000` runs for long; a case is found again by its seed,
kind and index. `test_damaged_models.py` runs a few of each kind.
"""
