"""What to poll when, and what it means for a wait. Pure: no I/O and no clock."""
