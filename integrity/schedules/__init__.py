"""What happens without a person: looks that are due, and the repairs that may follow them."""
