"""Measurements that no test asserts."""
