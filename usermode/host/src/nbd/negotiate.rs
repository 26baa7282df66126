// SPDX-License-Identifier: MIT OR Apache-2.0
//! The negotiation: greeting, then options until the client has chosen an export. Single-threaded, with one
//! deadline for everything.

use std::io::{self, IoSlice, Read};
use std::sync::Arc;
use std::time::Duration;

use zerocopy::IntoBytes;

use super::export::{Export, Exports};
use super::options;
use super::proto::{self, answer, export_flag, info, option};
use super::request::MAX_REQUEST;
use crate::net::{DeadlineReader, Stream};

/// The longest option that is read. The longest sensible one has a name and a handful of queries of 4096 bytes.
const MAX_OPTION: u32 = 64 << 10;

/// What a client wants to use.
pub(super) struct Chosen {
    pub export: Arc<Export>,
    /// Replies in chunks.
    pub structured: bool,
    /// The client has asked for base:allocation of this export.
    pub block_status: bool,
}

/// Negotiates until the client has an export; `None` if it said goodbye or just went away between options.
pub(super) fn negotiate(stream: &Stream, exports: &dyn Exports, limit: Duration) -> io::Result<Option<Chosen>> {
    stream.set_write_timeout(Some(limit))?;
    let mut client = Client {
        stream,
        input: DeadlineReader::new(stream, limit),
        exports,
        no_zeroes: false,
        structured: false,
        context_for: None,
    };
    let chosen = client.run()?;
    // From here on a client may be idle, or stopped in a debugger, as long as it likes.
    stream.set_read_timeout(None)?;
    stream.set_write_timeout(None)?;
    Ok(chosen)
}

struct Client<'a> {
    stream: &'a Stream,
    input: DeadlineReader<'a>,
    exports: &'a dyn Exports,
    no_zeroes: bool,
    structured: bool,
    /// The name for which base:allocation was last asked.
    context_for: Option<String>,
}

/// How the negotiation goes on after an option.
enum Next {
    More,
    Use(Arc<Export>),
    Goodbye,
}

impl Client<'_> {
    fn run(&mut self) -> io::Result<Option<Chosen>> {
        self.greet()?;
        loop {
            let header: proto::OptionHeader = match proto::read(&mut self.input) {
                Ok(header) => header,
                Err(why) if why.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                Err(why) => return Err(why),
            };
            if header.magic.get() != proto::OPTION_MAGIC {
                return Err(violation(format!("option magic is {:#018x}", header.magic.get())));
            }
            if header.length.get() > MAX_OPTION {
                return Err(violation(format!("an option of {} bytes; at most {MAX_OPTION}", header.length.get())));
            }
            let mut payload = vec![0; header.length.get() as usize];
            self.input.read_exact(&mut payload)?;
            match self.answer(header.option.get(), &payload)? {
                Next::More => {}
                Next::Goodbye => return Ok(None),
                Next::Use(export) => {
                    let block_status = self.context_for.as_deref() == Some(export.name());
                    return Ok(Some(Chosen { export, structured: self.structured, block_status }));
                }
            }
        }
    }

    fn greet(&mut self) -> io::Result<()> {
        let greeting = proto::Greeting {
            magic: proto::NBD_MAGIC.into(),
            option_magic: proto::OPTION_MAGIC.into(),
            flags: (proto::FIXED_NEWSTYLE | proto::NO_ZEROES).into(),
        };
        self.send(&[greeting.as_bytes()])?;
        let mut flags = [0; 4];
        self.input.read_exact(&mut flags)?;
        let flags = u32::from_be_bytes(flags);
        let known = u32::from(proto::FIXED_NEWSTYLE | proto::NO_ZEROES);
        if flags & !known != 0 {
            return Err(violation(format!("client flags are {flags:#x}")));
        }
        self.no_zeroes = flags & u32::from(proto::NO_ZEROES) != 0;
        Ok(())
    }

    fn answer(&mut self, option: u32, payload: &[u8]) -> io::Result<Next> {
        match option {
            option::EXPORT_NAME => return self.export_name(payload).map(Next::Use),
            option::ABORT => {
                // The client may be gone already; that is how it is.
                let _ = self.acknowledge(option);
                return Ok(Next::Goodbye);
            }
            option::LIST => self.list(option, payload)?,
            option::INFO | option::GO => return self.info(option, payload),
            option::STRUCTURED_REPLY => {
                if payload.is_empty() {
                    self.structured = true;
                    self.acknowledge(option)?;
                } else {
                    self.refuse(option, answer::ERR_INVALID, "this option has no payload")?;
                }
            }
            option::LIST_META_CONTEXT | option::SET_META_CONTEXT => self.contexts(option, payload)?,
            _ => self.refuse(option, answer::ERR_UNSUPPORTED, "option not supported")?,
        }
        Ok(Next::More)
    }

    /// The old way to choose an export; it has no way to answer an error but closing the connection.
    fn export_name(&mut self, payload: &[u8]) -> io::Result<Arc<Export>> {
        let name = options::name(payload).map_err(violation)?;
        let export = self.exports.find(name).ok_or_else(|| violation(format!("no export {name:?}")))?;
        self.exports.admit(&export).map_err(violation)?;
        let size = export.device().size().to_be_bytes();
        let flags = self.flags(&export).to_be_bytes();
        let zeroes = [0; 124];
        let padding = if self.no_zeroes { &zeroes[..0] } else { &zeroes };
        self.send(&[&size, &flags, padding])?;
        Ok(export)
    }

    fn list(&mut self, option: u32, payload: &[u8]) -> io::Result<()> {
        if !payload.is_empty() {
            return self.refuse(option, answer::ERR_INVALID, "this option has no payload");
        }
        for export in self.exports.list() {
            let name = export.name().as_bytes();
            let Ok(length) = u32::try_from(name.len()) else { continue };
            self.reply(option, answer::SERVER, &[&length.to_be_bytes(), name, export.description().as_bytes()])?;
        }
        self.acknowledge(option)
    }

    fn info(&mut self, option: u32, payload: &[u8]) -> io::Result<Next> {
        let query = match options::info_query(payload) {
            Ok(query) => query,
            Err(why) => return self.refuse(option, answer::ERR_INVALID, why).map(|()| Next::More),
        };
        let Some(export) = self.exports.find(query.name) else {
            let why = format!("no export '{}'", query.name);
            return self.refuse(option, answer::ERR_UNKNOWN, &why).map(|()| Next::More);
        };
        if option == option::GO
            && let Err(why) = self.exports.admit(&export)
        {
            return self.refuse(option, answer::ERR_POLICY, &why).map(|()| Next::More);
        }

        let about = proto::ExportInfo {
            kind: info::EXPORT.into(),
            size: export.device().size().into(),
            flags: self.flags(&export).into(),
        };
        self.reply(option, answer::INFO, &[about.as_bytes()])?;
        // Repeated items would only make us send more; one answer to each will do.
        for item in [info::NAME, info::DESCRIPTION, info::BLOCK_SIZE] {
            if query.items.contains(&item) {
                self.info_item(option, item, &export)?;
            }
        }
        self.acknowledge(option)?;
        Ok(if option == option::GO { Next::Use(export) } else { Next::More })
    }

    fn info_item(&mut self, option: u32, item: u16, export: &Export) -> io::Result<()> {
        let kind = item.to_be_bytes();
        match item {
            info::NAME => self.reply(option, answer::INFO, &[&kind, export.name().as_bytes()]),
            info::DESCRIPTION => self.reply(option, answer::INFO, &[&kind, export.description().as_bytes()]),
            _ => {
                let sizes = proto::BlockSizeInfo {
                    kind: item.into(),
                    minimum: 1.into(),
                    preferred: 4096.into(),
                    maximum: MAX_REQUEST.into(),
                };
                self.reply(option, answer::INFO, &[sizes.as_bytes()])
            }
        }
    }

    fn contexts(&mut self, option: u32, payload: &[u8]) -> io::Result<()> {
        let set = option == option::SET_META_CONTEXT;
        if set {
            self.context_for = None;
        }
        if !self.structured {
            return self.refuse(option, answer::ERR_INVALID, "metadata contexts need structured replies");
        }
        let query = match options::context_query(payload) {
            Ok(query) => query,
            Err(why) => return self.refuse(option, answer::ERR_INVALID, why),
        };
        let Some(export) = self.exports.find(query.name) else {
            return self.refuse(option, answer::ERR_UNKNOWN, &format!("no export '{}'", query.name));
        };
        let exact = query.queries.contains(&proto::BASE_ALLOCATION.as_bytes());
        // A listing answers to a whole namespace, and to no query with all there is; a selection is literal.
        let listed = !set && (query.queries.is_empty() || query.queries.contains(&&b"base:"[..]));
        if exact || listed {
            let number = if set { proto::BASE_ALLOCATION_ID } else { 0 };
            let name = proto::BASE_ALLOCATION.as_bytes();
            self.reply(option, answer::META_CONTEXT, &[&number.to_be_bytes(), name])?;
        }
        if set && exact {
            // The resolved name, so that "" and the name of the default export are the same choice.
            self.context_for = Some(export.name().to_owned());
        }
        self.acknowledge(option)
    }

    fn flags(&self, export: &Export) -> u16 {
        // Connections to one device see each other's writes at once, and a flush covers them all.
        let mut flags =
            export_flag::HAS_FLAGS | export_flag::SEND_FLUSH | export_flag::SEND_FUA | export_flag::CAN_MULTI_CONN;
        if export.device().read_only() {
            flags |= export_flag::READ_ONLY;
        } else {
            flags |= export_flag::SEND_TRIM | export_flag::SEND_WRITE_ZEROES;
        }
        if self.structured {
            flags |= export_flag::SEND_DF;
        }
        flags
    }

    fn acknowledge(&mut self, option: u32) -> io::Result<()> {
        self.reply(option, answer::ACK, &[])
    }

    fn refuse(&mut self, option: u32, kind: u32, why: &str) -> io::Result<()> {
        // The protocol allows strings of 4096 bytes; a name that was asked for may be part of this one.
        let end = why.floor_char_boundary(proto::MAX_STRING);
        self.reply(option, kind, &[&why.as_bytes()[..end]])
    }

    fn reply(&mut self, option: u32, kind: u32, payload: &[&[u8]]) -> io::Result<()> {
        let length: usize = payload.iter().map(|part| part.len()).sum();
        let length = u32::try_from(length).map_err(|_| violation("a reply does not fit"))?;
        let header = proto::OptionReply {
            magic: proto::OPTION_REPLY_MAGIC.into(),
            option: option.into(),
            kind: kind.into(),
            length: length.into(),
        };
        let mut parts = vec![header.as_bytes()];
        parts.extend_from_slice(payload);
        self.send(&parts)
    }

    fn send(&self, parts: &[&[u8]]) -> io::Result<()> {
        let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        self.stream.send_all(&mut slices)
    }
}

fn violation(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}
