// SPDX-License-Identifier: MIT OR Apache-2.0
//! Walking chains of blocks that somebody else wrote: loops are found with constant memory.

use crate::error::{FormatError, Problem, Structure};

/// Watches the walk along a chain of blocks (Brent's algorithm), and bounds its length.
///
/// A loop is reported after at most three times as many visits as the chain has blocks, so that a walker sees some
/// blocks of a looping chain more than once before it hears of it; what it gathered is to be dropped then.
#[derive(Debug, Clone)]
pub struct ChainGuard {
    structure: Structure,
    limit: u64,
    visited: u64,
    /// A block of the chain that the walk is compared with, moved up after 1, 2, 4, 8... visits.
    milestone: Option<u64>,
    next_milestone: u64,
}

impl ChainGuard {
    /// For a chain of `structure` that has at most `max_blocks` blocks.
    pub fn new(max_blocks: u64, structure: Structure) -> ChainGuard {
        ChainGuard { structure, limit: max_blocks, visited: 0, milestone: None, next_milestone: 1 }
    }

    /// Call with the volume offset of each block, before reading it.
    pub fn visit(&mut self, offset: u64) -> Result<(), FormatError> {
        if self.milestone == Some(offset) {
            return Err(self.error(offset, Problem::Loop));
        }
        if self.visited >= self.limit {
            return Err(self.error(offset, Problem::ChainTooLong { limit: self.limit }));
        }
        self.visited = self.visited.saturating_add(1);
        if self.visited == self.next_milestone {
            self.milestone = Some(offset);
            self.next_milestone = self.next_milestone.saturating_mul(2);
        }
        Ok(())
    }

    fn error(&self, offset: u64, problem: Problem) -> FormatError {
        FormatError { structure: self.structure, field: "next", offset, problem }
    }
}
