//! cellgate
