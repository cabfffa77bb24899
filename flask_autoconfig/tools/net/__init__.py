"""Conversations with the servers of a domain: DNS, TCP, TLS, HTTP and mail."""
