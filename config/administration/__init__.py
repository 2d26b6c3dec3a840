"""What the administrations of all apps share."""
