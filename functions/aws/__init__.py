"""AWS Lambda around the application: events, limits, secrets, start. Imports no SDK by itself."""
