"""What is told of the gateway over HTTP: events, figures, metrics, health."""
