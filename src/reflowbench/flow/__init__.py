"""Rectified flow: the linear path, the velocity regression loss, and ODE solvers in both directions."""
