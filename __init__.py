"""wheelwork: a self-improving fine-tuning loop for small language models."""

__version__ = "0.1.0"
