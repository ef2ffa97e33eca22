"""Faults on purpose: a plan, the rig that carries it out, and the certificate at the end."""
