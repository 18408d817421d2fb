"""Recall: finding the learnings for a request, rendering them within a budget, and adding them to a model call."""
