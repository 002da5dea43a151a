//! Everything that crosses a wire, against real recordings and the simulator: one module per boundary.
