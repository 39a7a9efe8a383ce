"""On a GPU: against peers, and levers."""
