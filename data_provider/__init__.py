"""From ERA5 files to batches, forward in time only."""
