"""Why is it not finite? Checks before the first step, and the cause of a bad step, as one verdict with its evidence."""
