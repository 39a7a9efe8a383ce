"""Positive controls: do the metrics see what they claim to see?"""
