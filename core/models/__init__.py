"""Models of others: where their files lie, and how they are loaded."""

import logging

# on processors with AVX512-BF16 it wants the package `kernels`, which fetches programs from a hub, at each import
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
