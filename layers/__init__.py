"""Building blocks of the networks, in torch alone."""
