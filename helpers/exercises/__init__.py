"""The exercises' answers, hidden inputs and common mistakes: one module for each notebook."""
