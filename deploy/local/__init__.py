"""Beam's engines on one machine: what the tests of the engines, and a first try, run on."""
