// SPDX-License-Identifier: MIT OR Apache-2.0
//! One structure as labelled values, and the two ways to write it. A structure is described once for both.

use anyhow::Result;
use serde::Serialize;
use serde_json::{Map, Value as Json};
use std::io::Write;

/// A value, with what text shows it as and what JSON does.
pub(super) enum Value {
    /// Bytes from somewhere: text shows hexadecimal.
    Offset(u64),
    /// A count or size.
    Number(u64),
    /// Bits, with their names.
    Bits(u64, String),
    /// Anything with words of its own.
    Text(String),
    /// A thing that could not be read.
    Error(String),
}

impl Value {
    fn text(&self) -> String {
        match self {
            Value::Offset(value) => format!("{value:#x}"),
            Value::Number(value) => value.to_string(),
            Value::Bits(value, names) => format!("{value:#x} ({names})"),
            Value::Text(text) => text.escape_debug().to_string(),
            Value::Error(error) => format!("error: {error}"),
        }
    }

    fn json(&self) -> Json {
        match self {
            Value::Offset(value) | Value::Number(value) | Value::Bits(value, _) => Json::from(*value),
            Value::Text(text) | Value::Error(text) => Json::from(text.as_str()),
        }
    }
}

/// Labelled values in order.
pub(super) type Fields = Vec<(&'static str, Value)>;

/// A structure.
pub(super) struct Record {
    /// Heading: the structure, and where it lies.
    pub(super) heading: Fields,
    /// Its fields.
    pub(super) fields: Fields,
    /// What the rows are, where it has any.
    pub(super) row_name: &'static str,
    /// Parts that repeat: descriptors, ranges, runs of bits.
    pub(super) rows: Vec<Fields>,
}

impl Record {
    pub(super) fn has_errors(&self) -> bool {
        self.rows.iter().flatten().any(|(_, value)| matches!(value, Value::Error(_)))
    }
}

/// Where records go, as text or as a JSON array.
pub(super) struct Output<'o, W: Write> {
    out: &'o mut W,
    json: bool,
    first: bool,
}

impl<'o, W: Write> Output<'o, W> {
    pub(super) fn start(out: &'o mut W, json: bool) -> Result<Self> {
        if json {
            write!(out, "[")?;
        }
        Ok(Output { out, json, first: true })
    }

    pub(super) fn write(&mut self, record: &Record) -> Result<()> {
        let first = std::mem::replace(&mut self.first, false);
        if self.json {
            self.out.write_all(if first { b"\n" } else { b",\n" })?;
            return self.write_json(record);
        }
        if !first {
            writeln!(self.out)?;
        }
        self.write_text(record)
    }

    pub(super) fn end(&mut self) -> Result<()> {
        if self.json {
            writeln!(self.out, "\n]")?;
        }
        Ok(())
    }

    fn write_text(&mut self, record: &Record) -> Result<()> {
        let heading: Vec<String> =
            record.heading.iter().map(|(label, value)| format!("{label} {}", value.text())).collect();
        writeln!(self.out, "{}", heading.join(", "))?;
        for (label, value) in &record.fields {
            writeln!(self.out, "  {label:<20} {}", value.text())?;
        }
        for row in &record.rows {
            let row: Vec<String> = row.iter().map(|(label, value)| format!("{label} {}", value.text())).collect();
            writeln!(self.out, "    {}", row.join("  "))?;
        }
        Ok(())
    }

    fn write_json(&mut self, record: &Record) -> Result<()> {
        let mut whole = object(record.heading.iter().chain(&record.fields));
        if !record.row_name.is_empty() {
            let rows: Vec<Json> = record.rows.iter().map(|row| Json::Object(object(row))).collect();
            whole.insert(record.row_name.to_owned(), Json::Array(rows));
        }
        Ok(whole.serialize(&mut serde_json::Serializer::new(&mut *self.out))?)
    }
}

fn object<'f>(fields: impl IntoIterator<Item = &'f (&'static str, Value)>) -> Map<String, Json> {
    fields.into_iter().map(|(label, value)| (label.replace([' ', '-'], "_"), value.json())).collect()
}
