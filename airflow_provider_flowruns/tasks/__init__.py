"""What sensors and operators share."""
