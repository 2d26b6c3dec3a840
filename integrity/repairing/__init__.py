"""Inside a repair: its order, its batches, what is planned and left, what would be harmed."""
