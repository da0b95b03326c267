"""Battery and heat: what the kernel shows of them, and what is worth telling."""
