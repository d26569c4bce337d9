//! The oracle is tried itself.
