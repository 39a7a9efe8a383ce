"""Couplings: where the pairs (x0, x1) of a training batch come from. One short file per method.

Base training, Reflow, RCA, OCAR and all baselines are one training loop over different couplings.
"""
