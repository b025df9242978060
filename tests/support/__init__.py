"""Real parts that several folders of tests share: bundles, servers."""
