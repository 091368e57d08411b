//! The simulated cell.
