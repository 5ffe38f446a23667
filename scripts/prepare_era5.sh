#!/usr/bin/env bash
# ERA5 files as they were downloaded -> datasets/processed/peru_rainfall.nc, .csv and .json.
#   bash scripts/prepare_era5.sh --input_dir datasets/raw_era5 --regions default --years 2014 2024
# All flags: bash scripts/prepare_era5.sh --help
cd "$(dirname "$0")/.."
source scripts/setup.sh
exec "$PYTHON" -m data_provider.prepare "$@"
