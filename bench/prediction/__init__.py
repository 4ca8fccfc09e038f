"""What training really did to hundreds of configurations, and how well the verdict foretold it."""
