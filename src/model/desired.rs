//! What VPP should have.
