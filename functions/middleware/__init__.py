"""Layers around the routes, each small, alone in its file and plain ASGI."""
