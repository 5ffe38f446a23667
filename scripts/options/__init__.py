"""The options of the case from the command line: one at a time, or side by side."""
