"""Why something does not work: one module for each place where causes lie."""
