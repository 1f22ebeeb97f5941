"""What is sent for values of each type. Pure."""
