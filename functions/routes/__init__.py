"""What the application answers, one group of routes a file."""
