// SPDX-License-Identifier: MIT OR Apache-2.0
//! An allocator that fails on demand, so that the engine's answers to missing memory are run and not only written.
//!
//! The demand is per thread and holds for one call into the engine: the simulator's own memory never fails.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Allocations until failures begin, and how many fail then. `None`: memory is there.
    static DEMAND: Cell<Option<(u32, u32)>> = const { Cell::new(None) };
}

struct Failing;

#[global_allocator]
static ALLOCATOR: Failing = Failing;

fn fails() -> bool {
    DEMAND
        .try_with(|demand| match demand.get() {
            None | Some((_, 0)) => false,
            Some((0, left)) => {
                demand.set(Some((0, left - 1)));
                true
            }
            Some((wait, left)) => {
                demand.set(Some((wait - 1, left)));
                false
            }
        })
        .unwrap_or(false)
}

// SAFETY: every method hands the request to `System` unchanged, or returns null, which the trait allows for failure.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if fails() {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller keeps `alloc`'s contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System` with this layout, since `alloc` and `realloc` use nothing else.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if fails() {
            return std::ptr::null_mut();
        }
        // SAFETY: as for `dealloc`; the caller keeps the contract about `size`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Runs `call` with `count` failing allocations after `wait` good ones.
pub(crate) fn with_failures<R>(wait: u32, count: u32, call: impl FnOnce() -> R) -> R {
    DEMAND.set(Some((wait, count)));
    let result = call();
    DEMAND.set(None);
    result
}

/// Ends a demand that a panic left behind.
pub(crate) fn restore() {
    DEMAND.set(None);
}
