"""The rules of `check`: a module for each kind of cause."""
