"""The ways back to the truth, a file each."""
