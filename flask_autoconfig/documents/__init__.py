"""One module for each client family: a provider goes in, bytes come out."""
