"""A module that is only there to change the version of the toy system's code."""
