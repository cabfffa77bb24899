"""What was probably meant by a file with problems; imported only where there is one."""
