"""Speed, memory and quality of the same fits, recorded together."""
