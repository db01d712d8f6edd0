"""The edge: one HTTP application over the engine, and the ways to run it."""
