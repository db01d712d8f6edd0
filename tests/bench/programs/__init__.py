"""What runs in processes of its own, to be measured."""
