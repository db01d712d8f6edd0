"""Ways to run the application: settings -> engine -> whatever serves it."""
