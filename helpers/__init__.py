"""What the notebooks import once they have taught it, or what is not their lesson."""
