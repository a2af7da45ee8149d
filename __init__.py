"""wheelwork: a self-improving fine-tuning loop for small language models."""

import os

__version__ = "0.1.0"

# OpenMP threads wait for each other by spinning. Where something else wants the cores too, the default of 300,000 turns
# made llama.cpp up to 20 times slower; 3,000 cost nothing alone (docs/log.md). It is read when libgomp is loaded, by
# torch or by llama.cpp, so it stands where every import of ours begins.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")
