//! Network namespaces: which there are, what they are called, and a thread that looks into one.
