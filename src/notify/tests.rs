//! Against a broker.
