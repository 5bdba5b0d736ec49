"""How a call travels to a service: requests for workers, aiohttp for the triggerer."""
