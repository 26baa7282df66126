// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a program without `std` has to bring along: an allocator that can fail, and a panic handler.

use core::{
    alloc::{GlobalAlloc, Layout},
    panic::PanicInfo,
};

unsafe extern "C" {
    // Defined nowhere: an allocator that the optimiser cannot see through, as the kernel's pool is.
    fn probe_allocate(size: usize, align: usize) -> *mut u8;
    fn probe_free(memory: *mut u8, size: usize, align: usize);
}

struct Pool;

// SAFETY: whoever defines the two functions keeps the contract of an allocator; here nobody does, as nothing runs.
unsafe impl GlobalAlloc for Pool {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the function takes any size and alignment.
        unsafe { probe_allocate(layout.size(), layout.align()) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller hands back what `alloc` gave, with the same layout.
        unsafe { probe_free(memory, layout.size(), layout.align()) }
    }
}

#[global_allocator]
static POOL: Pool = Pool;

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
