"""Making bundles: checkpoint -> GGUF -> ONNX -> certificate. Needs the extra `export`.

Nothing here is imported by a server that has its bundle, except `default_model`, which imports
the rest only when it has to build.
"""

EXPORTER_VERSION = 6
"""Raised when the same source gives other files or another manifest: cached bundles are remade."""
