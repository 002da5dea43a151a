//! Counts the memory that a test allocates.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    /// Bytes allocated by this thread so far, also those freed since.
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

fn add(bytes: usize) {
    // A thread that ends has no counter any more.
    let _ = BYTES.try_with(|sum| sum.set(sum.get().saturating_add(bytes)));
}

#[expect(unsafe_code, reason = "an allocator is unsafe to implement")]
// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller has checked the layout.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer is one of `alloc` or `realloc`, so of the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        add(size);
        // SAFETY: the pointer is one of `alloc` or `realloc`, so of the system's allocator.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// The result of `run`, and the number of bytes that it allocated in all.
pub fn allocated<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let before = BYTES.get();
    let result = run();
    (result, BYTES.get() - before)
}

#[test]
fn allocations_are_counted() {
    assert_eq!(allocated(|| vec![0_u8; 1000].len()), (1000, 1000));
    let (_, bytes) = allocated(|| (0..100_u8).collect::<Vec<_>>());
    assert!((100..400).contains(&bytes), "{bytes}");
}
