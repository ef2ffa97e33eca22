"""Scoring: pure arithmetic from hand landmarks to measures. Arrays in, numbers out, no I/O."""
