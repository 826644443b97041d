"""The endpoints, each a few lines between the wire and the parts that do the work."""
