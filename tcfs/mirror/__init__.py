"""Transcripts going in: where coding agents keep them, what is taken out, and the loop that tails.

This room stands on the project. It only ever reads what the agents write, and of the stores and
the kernel it knows nothing.
"""
