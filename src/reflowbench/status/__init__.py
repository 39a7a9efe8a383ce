"""How far the pipeline is: the state of every stage with its reason, and the time that is left."""
