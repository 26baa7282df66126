// SPDX-License-Identifier: MIT OR Apache-2.0
//! `vsstool dump`: every structure of the format, as it lies on disk, in the order in which they name each other.

mod record;
mod structures;

use crate::Outcome;
use crate::args::ImageArgs;
use crate::catalog::MAX_CATALOG_BLOCKS;
use crate::read::{Block, ReadError, Reader};
use crate::source::{Role, Source};
use anyhow::Result;
use ondisk::{BitmapBlock, BlockList, BlockType, CatalogBlock, CatalogEntry, RangeList, StoreEntry, StoreHeader};
use record::{Output, Record};
use std::io::Write;

/// Options of `dump`.
#[derive(clap::Args)]
pub(crate) struct DumpArgs {
    #[command(flatten)]
    image: ImageArgs,

    /// Print one JSON array of structures, one a line.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub(crate) fn run(args: &DumpArgs, out: &mut impl Write) -> Result<Outcome> {
    let source = Source::open(&args.image)?;
    let mut dump = Dump { out: Output::start(out, args.json)?, problems: false };
    dump.volume(Reader::new(&source.live, Role::Live))?;
    if let Some(storage) = &source.storage {
        dump.volume(Reader::new(storage, Role::Storage))?;
    }
    dump.out.end()?;
    Ok(if dump.problems { Outcome::Problems } else { Outcome::Clean })
}

struct Dump<'o, W: Write> {
    out: Output<'o, W>,
    problems: bool,
}

impl<W: Write> Dump<'_, W> {
    fn volume(&mut self, mut reader: Reader<'_>) -> Result<()> {
        let role = reader.role;
        let header = match reader.volume_header() {
            Ok(Some(header)) => header,
            Ok(None) => return self.out.write(&structures::no_volume_header(role)),
            Err(error) => return self.failed(role, &error),
        };
        self.out.write(&structures::volume_header(role, &header))?;
        let mut stores = Vec::new();
        for block in reader.chain(header.catalog, BlockType::Catalog).take(MAX_CATALOG_BLOCKS) {
            self.block(role, block, |dump, block| {
                let catalog = CatalogBlock::parse(&block.bytes, block.at)?;
                for (_, _, entry) in catalog.entries() {
                    if let Ok(CatalogEntry::Store(store)) = entry {
                        stores.push(store);
                    }
                }
                Ok(dump.entries(role, &catalog))
            })?;
        }
        for store in &stores {
            self.store(&mut reader, store)?;
        }
        Ok(())
    }

    fn entries(&mut self, role: Role, catalog: &CatalogBlock<'_>) -> Result<()> {
        self.out.write(&structures::block(role, &catalog.header()))?;
        for (index, at, entry) in catalog.entries() {
            match entry {
                Ok(CatalogEntry::Unused) => (),
                Ok(entry) => self.out.write(&structures::catalog_entry(role, index, at, &entry))?,
                Err(error) => self.failed(role, &error.into())?,
            }
        }
        Ok(())
    }

    fn store(&mut self, reader: &mut Reader<'_>, store: &StoreEntry) -> Result<()> {
        let role = reader.role;
        let header = reader.block(store.header, BlockType::StoreHeader);
        self.block(role, header, |dump, block| {
            let header = StoreHeader::parse(&block.bytes, block.at)?;
            Ok(dump.out.write(&structures::store_header(role, &header)))
        })?;
        for block in reader.chain(store.block_list, BlockType::BlockList) {
            self.block(role, block, |dump, block| {
                let record = structures::block_list(role, &BlockList::parse(&block.bytes, block.at)?);
                Ok(dump.with_errors(record))
            })?;
        }
        for block in reader.chain(store.ranges, BlockType::RangeList) {
            self.block(role, block, |dump, block| {
                let record = structures::range_list(role, &RangeList::parse(&block.bytes, block.at)?);
                Ok(dump.with_errors(record))
            })?;
        }
        for (which, first) in [("current", store.bitmap), ("previous", store.previous_bitmap)] {
            let mut first_bit = 0;
            for block in reader.chain(first, BlockType::Bitmap) {
                self.block(role, block, |dump, block| {
                    let bitmap = BitmapBlock::parse(&block.bytes, block.at)?;
                    let record = structures::bitmap(role, which, first_bit, &bitmap);
                    first_bit += ondisk::BITS_PER_BITMAP_BLOCK;
                    Ok(dump.out.write(&record))
                })?;
            }
        }
        Ok(())
    }

    /// Writes a block with `write`, or the error that it could not be read for.
    ///
    /// The outer result of `write` is about the image, the inner about the output.
    fn block(
        &mut self,
        role: Role,
        block: Result<Block, ReadError>,
        write: impl FnOnce(&mut Self, &Block) -> Result<Result<()>, ReadError>,
    ) -> Result<()> {
        match block.and_then(|block| write(self, &block)) {
            Ok(written) => written,
            Err(error) => self.failed(role, &error),
        }
    }

    fn with_errors(&mut self, record: Record) -> Result<()> {
        self.problems |= record.has_errors();
        self.out.write(&record)
    }

    fn failed(&mut self, role: Role, error: &ReadError) -> Result<()> {
        self.problems = true;
        self.out.write(&structures::failure(role, error))
    }
}
