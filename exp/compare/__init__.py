"""Finished runs side by side on identical test instants: which differences are real, what each costs, an ensemble."""
