"""Explains problems of a file; imported only when there is one."""
