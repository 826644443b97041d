"""The HTTP service in front of the renderer: takes a backend's requests, and tells it what became of them."""
