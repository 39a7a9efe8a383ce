"""What every stage needs: parameters, artifacts, randomness, data, flow and networks."""
