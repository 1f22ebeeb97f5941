"""What trains the models that the packages ship. Not part of the shipped packages."""
