// SPDX-License-Identifier: MIT OR Apache-2.0
//! The payloads of options, parsed from bytes that anybody may have sent.

/// INFO and GO: an export name and the items asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InfoQuery<'a> {
    pub name: &'a str,
    pub items: Vec<u16>,
}

/// LIST_META_CONTEXT and SET_META_CONTEXT: an export name and queries.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ContextQuery<'a> {
    pub name: &'a str,
    pub queries: Vec<&'a [u8]>,
}

/// What is wrong with a payload; goes to the client.
pub(super) type Malformed = &'static str;

pub(super) fn info_query(payload: &[u8]) -> Result<InfoQuery<'_>, Malformed> {
    let mut rest = payload;
    let name = text(&mut rest)?;
    let count = number(&mut rest).map(u16::from_be_bytes)?;
    if rest.len() != usize::from(count) * 2 {
        return Err("the number of information requests does not match the length of the option");
    }
    let items = rest.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    Ok(InfoQuery { name, items })
}

pub(super) fn context_query(payload: &[u8]) -> Result<ContextQuery<'_>, Malformed> {
    let mut rest = payload;
    let name = text(&mut rest)?;
    let count = number(&mut rest).map(u32::from_be_bytes)?;
    let mut queries = Vec::new();
    // Each query has at least its length in the payload, so a huge count fails before it grows the list.
    for _ in 0..count {
        queries.push(bytes(&mut rest)?);
    }
    if !rest.is_empty() {
        return Err("bytes after the last query");
    }
    Ok(ContextQuery { name, queries })
}

/// A name in UTF-8.
pub(super) fn name(bytes: &[u8]) -> Result<&str, Malformed> {
    if bytes.len() > super::proto::MAX_STRING {
        return Err("a string is longer than 4096 bytes");
    }
    std::str::from_utf8(bytes).map_err(|_| "an export name is not UTF-8")
}

fn text<'a>(rest: &mut &'a [u8]) -> Result<&'a str, Malformed> {
    name(bytes(rest)?)
}

fn bytes<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let length = number(rest).map(u32::from_be_bytes)?;
    let length = usize::try_from(length).map_err(|_| TOO_SHORT)?;
    let (value, after) = rest.split_at_checked(length).ok_or(TOO_SHORT)?;
    *rest = after;
    Ok(value)
}

fn number<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Malformed> {
    let (value, after) = rest.split_first_chunk::<N>().ok_or(TOO_SHORT)?;
    *rest = after;
    Ok(*value)
}

const TOO_SHORT: Malformed = "the option is shorter than the lengths in it say";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn info_query_reads_name_and_items() {
        let payload = b"\0\0\0\x03abc\0\x02\0\x01\0\x03";
        assert_eq!(info_query(payload), Ok(InfoQuery { name: "abc", items: vec![1, 3] }));
        for cut in 0..payload.len() {
            assert!(info_query(&payload[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn context_query_reads_name_and_queries() {
        let payload = b"\0\0\0\x01x\0\0\0\x02\0\0\0\x05base:\0\0\0\0";
        assert_eq!(context_query(payload), Ok(ContextQuery { name: "x", queries: vec![b"base:", b""] }));
        for cut in 0..payload.len() {
            assert!(context_query(&payload[..cut]).is_err(), "cut at {cut}");
        }
        assert!(context_query(b"\0\0\0\0\xff\xff\xff\xff").is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(payload in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = info_query(&payload);
            if let Ok(query) = context_query(&payload) {
                let strings: usize = query.queries.iter().map(|query| query.len() + 4).sum();
                prop_assert_eq!(strings + query.name.len() + 8, payload.len());
            }
        }
    }
}
