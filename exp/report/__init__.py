"""The page of a run and of a comparison: one HTML file that needs no network, in English or Spanish."""
