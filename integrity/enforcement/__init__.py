"""What keeps a rule true in the database: constraints and triggers made from the declaration."""
