"""Tools that know nothing of rain, models or data."""
