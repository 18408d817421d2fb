"""Learning beside the answer: in the run, in a queue, on a server, or from old conversations."""
