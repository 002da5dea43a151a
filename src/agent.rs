//! maglevd: warm-up, desired → plan → apply, repair loop.
