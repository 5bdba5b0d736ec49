"""What each vendor's API says: requests as data, and the functions that read the responses."""
