// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bytes that Windows 7 and Windows 11 wrote, against values read from them by hand.

use ondisk::*;

/// Spaces and line ends are left out.
fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

fn padded(text: &str, len: usize) -> Vec<u8> {
    let mut bytes = hex(text);
    bytes.resize(len, 0);
    bytes
}

#[test]
fn volume_header_of_windows_7() {
    let bytes = padded(
        "6b870838 76c1484e b7ae0404 6e6cc752 01000000 01000000 001e0000 00000000
         001e0000 00000000 00000000 00000000 0000e306 00000000 00000000 00000000
         640b0f60df5be3119d6c005056c00008 640b0f60df5be3119d6c005056c00008",
        VOLUME_HEADER_LEN,
    );
    let header = VolumeHeader::parse(&bytes).unwrap().unwrap();
    let this: Guid = "600f0b64-5bdf-11e3-9d6c-005056c00008".parse().unwrap();
    let expected = VolumeHeader {
        version: 1,
        catalog: 0x6e3_0000,
        maximum: 0,
        volume: this,
        storage: this,
        application_flags: 0,
        free_space_precopy: 0,
        hot_blocks_precopy: 0,
        hot_blocks_days: 0,
        protection: 0,
    };
    assert_eq!(header, expected);
    assert_eq!(header.to_bytes()[..], bytes);
    assert_eq!(VolumeHeader::parse(&[0; VOLUME_HEADER_LEN]), Ok(None));
}

#[test]
fn catalog_entries_of_windows_7() {
    let at = 0x6e3_0080;
    let snapshot = padded(
        "0200000000000000 0000004000000000 690b0f60df5be3119d6c005056c00008
         0100000000000000 4000000000000000 4ba912d0f1efce01",
        CATALOG_ENTRY_LEN,
    );
    let store: Guid = "600f0b69-5bdf-11e3-9d6c-005056c00008".parse().unwrap();
    let expected = SnapshotEntry {
        volume_size: 0x4000_0000,
        store,
        sequence: 1,
        flags: snapshot_flags::ALWAYS,
        created: FileTime(0x01ce_eff1_d012_a94b),
        unknown_56: 0,
    };
    assert_eq!(CatalogEntry::parse(&snapshot, at), Ok(CatalogEntry::Snapshot(expected)));
    assert_eq!(CatalogEntry::Snapshot(expected).to_bytes()[..], snapshot);
    // vshadowinfo: 2013-12-03 06:35:09.736378700 UTC
    assert_eq!(expected.created.to_unix(), (1_386_052_509, 736_378_700));

    let second = padded(
        "0300000000000000 0040e40600000000 6d0b0f60df5be3119d6c005056c00008
         0000e40600000000 0080e40600000000 0000e50600000000 2800000000000100
         0000000000000000 0040e50600000000 0100000000000000",
        CATALOG_ENTRY_LEN,
    );
    let expected = StoreEntry {
        block_list: 0x6e4_4000,
        store: "600f0b6d-5bdf-11e3-9d6c-005056c00008".parse().unwrap(),
        header: 0x6e4_0000,
        ranges: 0x6e4_8000,
        bitmap: 0x6e5_0000,
        file_reference: 0x0001_0000_0000_0028,
        allocated: 0,
        previous_bitmap: 0x6e5_4000,
        older_online: 1,
    };
    assert_eq!(CatalogEntry::parse(&second, at), Ok(CatalogEntry::Store(expected)));
    assert_eq!(CatalogEntry::Store(expected).to_bytes()[..], second);
}

#[test]
fn entries_and_range_of_windows_11() {
    let snapshot = padded(
        "0200000000000000 0000ef0700000000 00000000000000000000000000000000
         0100000000000000 4000000000000000 b0439fad0e45dd01",
        CATALOG_ENTRY_LEN,
    );
    let Ok(CatalogEntry::Snapshot(entry)) = CatalogEntry::parse(&snapshot, 0) else { panic!("a snapshot entry") };
    assert_eq!((entry.volume_size, entry.created), (0x7ef_0000, FileTime(0x01dd_450e_ad9f_43b0)));

    let second = padded(
        "0300000000000000 0040a90400000000 00000000000000000000000000000000
         0000a90400000000 0080a90400000000 0080aa0400000000 3b00000000000100
         0000000000000000 00c0aa0400000000 0100000000000000",
        CATALOG_ENTRY_LEN,
    );
    let Ok(CatalogEntry::Store(store)) = CatalogEntry::parse(&second, 0) else { panic!("a store entry") };
    assert_eq!((store.bitmap, store.previous_bitmap), (0x4aa_8000, 0x4aa_c000));
    assert_eq!(store.file_reference, 0x0001_0000_0000_003b);

    let range = hex("00c0a90400000000 00c0000000000000 0040ff0100000000");
    let expected = Range { volume: 0x4a9_c000, relative: 0xc000, length: 0x1ff_4000 };
    assert_eq!(Range::parse(&range, 0), Ok(Some(expected)));
    assert_eq!(expected.to_bytes()[..], range);
}

#[test]
fn names_of_files_and_values() {
    assert_eq!(CATALOG_FILE_NAME, format!("{{{IDENTIFIER}}}"));
    let store: Guid = "600f0b69-5bdf-11e3-9d6c-005056c00008".parse().unwrap();
    assert_eq!(
        store_file_name(&store).to_string(),
        "{600f0b69-5bdf-11e3-9d6c-005056c00008}{3808876b-c176-4e48-b7ae-04046e6cc752}"
    );
    assert_eq!(APP_CLIENT_ACCESSIBLE.to_string(), "e5de7d45-49f2-40a4-817c-7dc82b72587f");
    assert_eq!(APP_PERSISTENT.to_string(), "ae9a9337-0048-4ed6-9874-71500654b7b3");
    assert_eq!(APP_HIDDEN.to_string(), "f12142b4-9a4b-49af-a851-700c42fdc2be");
    assert_eq!(application_name(APP_PERSISTENT), Some("persistent"));
    assert_eq!(context::name(0x1d), Some("client accessible"));
    let set: u32 = attributes::NAMES.iter().map(|(bit, _)| bit).filter(|bit| 0x42_0009 & **bit != 0).sum();
    assert_eq!(set, 0x42_0009);
    assert!(attributes::NAMES.is_sorted());
}
