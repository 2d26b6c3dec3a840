"""The public pages: who has ridden most, how far was ridden when, and one player."""
