"""The version of the package, for the package and its installer."""

__version__ = "0.1.0"
