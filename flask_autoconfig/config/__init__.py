"""Reads, validates and writes the TOML file."""
