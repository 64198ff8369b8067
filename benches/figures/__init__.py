"""Every figure of the library, measured beside its reference in one run. `make bench` runs it."""
