"""What keeps strangers out: addresses that may be contacted, the API token, and how much a request may send."""
