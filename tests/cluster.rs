//! What needs a real control plane: one for all tests here, a namespace per test.
