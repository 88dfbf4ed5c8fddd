"""Pure checks over rows and ledger: what is wrong, what is missing, what is proven."""
