"""Recipes for files that harm the library which opens them; made on the fly, so that no binary need be kept."""

from __future__ import annotations

from pathlib import Path

from tests.make_era5 import field, hours, new_layout

# Found by opening 6,000 files with one to eight changed bytes: this one never came back.
CIRCLE_OBJECT = 4


def write_circle(path: Path) -> Path:
    """A NetCDF-4 file whose global heap holds an object of length zero, at which HDF5 walks in a circle.

    A heap is `GCOL`, version, 3 bytes, length; then objects of index, uses, 4 bytes, length (8 bytes) and content
    padded to 8 bytes (HDF5 file format specification, III.E). Objects carry no checksum.
    """
    new_layout({"tp": field("tp", 48), "t2m": field("t2m", 48)}, hours(48)).to_netcdf(path, engine="netcdf4")
    content = bytearray(path.read_bytes())
    at = content.index(b"GCOL") + 16
    for _ in range(CIRCLE_OBJECT):
        at += 16 + -(-int.from_bytes(content[at + 8 : at + 16], "little") // 8) * 8
    content[at + 8 : at + 16] = bytes(8)
    path.write_bytes(content)
    return path


def write_half_precision(path: Path) -> Path:
    """An HDF5 file with numbers of 16 bits: the NetCDF library knows no such type and dies of it (SIGSEGV)."""
    import h5py

    new_layout({"tp": field("tp", 48)}, hours(48)).to_netcdf(path, engine="netcdf4")
    with h5py.File(path, "r+") as file:
        file.create_dataset("half", shape=(3,), dtype="f2")
    return path
