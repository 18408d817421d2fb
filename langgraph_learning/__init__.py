"""Turns any LangGraph agent into one that learns."""
