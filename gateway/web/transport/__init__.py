"""How connections are served: the listener, who gives way, what is sent, and the prefix of a proxy."""
