//! What is on the heap, and how often it was asked, counted for each thread by itself.
//!
//! A count that all threads share would slow the two-threaded storms, and those that allocate more by
//! more. What one thread allocates and another frees is counted nowhere right, so memory is measured on
//! a runtime of one thread.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

struct Counting;

/// Blocks up to this many bytes are told apart by their size, in steps of eight.
const TOLD_APART: usize = 4096;
const STEP: usize = 8;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static BLOCKS: [Cell<i32>; TOLD_APART / STEP + 1] =
        const { [const { Cell::new(0) }; TOLD_APART / STEP + 1] };
}

fn count(size: usize, blocks: i32) {
    // A thread that ends frees after its counters are gone.
    let _ = LIVE.try_with(|live| live.set(live.get() + size as isize * blocks as isize));
    if size <= TOLD_APART {
        let _ = BLOCKS.try_with(|all| {
            let block = &all[size.div_ceil(STEP)];
            block.set(block.get() + blocks);
        });
    }
}

fn allocated() {
    let _ = ALLOCATIONS.try_with(|allocations| allocations.set(allocations.get() + 1));
}

// SAFETY: every call is handed to the system's allocator as it came.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        allocated();
        count(layout.size(), 1);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        allocated();
        count(layout.size(), 1);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        allocated();
        count(layout.size(), -1);
        count(size, 1);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Let the allocator keep what storms free, and not fetch it from the kernel anew for each.
///
/// Otherwise page faults, which come and go with what was measured before, outweigh the rest. glibc gives
/// nothing back up to twice the size of the largest block that it was ever given back.
pub(crate) fn keep_pages() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(31 * 1024 * 1024)));
}

/// What this thread has allocated so far.
#[derive(Clone)]
pub(crate) struct Snapshot {
    live: isize,
    allocations: usize,
    blocks: Vec<i32>,
}

impl Snapshot {
    pub(crate) fn take() -> Self {
        let blocks = BLOCKS.with(|blocks| blocks.iter().map(Cell::get).collect());
        Self { live: LIVE.get(), allocations: ALLOCATIONS.get(), blocks }
    }

    /// Bytes on the heap that were not there before.
    pub(crate) fn bytes_since(&self, before: &Self) -> isize {
        self.live - before.live
    }

    pub(crate) fn allocations_since(&self, before: &Self) -> usize {
        self.allocations - before.allocations
    }

    /// The sizes of the blocks of which there are at least `times` more than before, each as often as
    /// it is there `times`.
    pub(crate) fn blocks_since(&self, before: &Self, times: usize) -> Vec<usize> {
        let more = self.blocks.iter().zip(&before.blocks).map(|(now, before)| now - before);
        let sizes = more.enumerate().flat_map(|(step, more)| {
            let often = usize::try_from(more).unwrap_or(0) / times;
            std::iter::repeat_n(step * STEP, often)
        });
        sizes.collect()
    }
}
