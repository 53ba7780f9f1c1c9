"""Measurements that tests do not assert."""
