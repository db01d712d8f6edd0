"""What is measured: one phase a file, each can be run alone."""
