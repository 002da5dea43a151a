//! The counter that decides whether a backend is up (HAProxy's rise and fall).
