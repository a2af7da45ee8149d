"""Property tests without a stopwatch: on shared cores a slow moment is no failure."""

from hypothesis import settings

settings.register_profile("shared cores", deadline=None)
settings.load_profile("shared cores")
