"""The dashboard as a picture: its queries over a real run, in its own layout."""
