"""The pages of members: their teams, what these ask and tell, and when they practise."""
