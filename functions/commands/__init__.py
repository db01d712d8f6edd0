"""Subcommands of `embellama`: each module has `add_arguments(parser)` and `run(args) -> int`."""
