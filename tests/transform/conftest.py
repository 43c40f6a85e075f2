"""Properties are judged by their result, not by the load of the machine they run on."""

from hypothesis import settings

settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")
