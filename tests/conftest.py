"""What every test shares."""

from hypothesis import settings

# A busy machine is no bug, and the example that fails is printed to be run again.
settings.register_profile("holdtrue", deadline=None, print_blob=True)
settings.load_profile("holdtrue")
