"""When two statements say the same: by rules over their words, numbers and names."""
