"""Runs that are made to fail, and what is lost by it."""
