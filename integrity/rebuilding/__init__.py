"""The pieces of rebuilding a table beside itself; the verbs are integrity/rebuild.py and integrity/swap_back.py."""
