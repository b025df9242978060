"""Spoilt requests and spoilt bundles, by the thousand, each from a seed and a number."""
