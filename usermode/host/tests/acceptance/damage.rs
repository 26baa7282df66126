// SPDX-License-Identifier: MIT OR Apache-2.0
//! Damage, and misuse: one clear error, an image that is left alone, nothing in the way of the next start.

use super::fixture::{
    Host, Layout, MIB, Scratch, Taken, can_run, ended, make_volume, offline, raw_volume, refused, served, take,
    take_under_load, vsstool_check, wait_until,
};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

const SIZE: u64 = 96 * MIB;
const NEEDED: [&str; 4] = ["mkntfs", "ntfs-3g", "ntfsfix", "fio"];
/// In the header of a block: the place of the next one in the chain.
const NEXT: u64 = 40;
/// Behind the header of a block.
const CONTENT: u64 = 128;

/// An image at rest with two snapshots.
fn at_rest(name: &str) -> (Scratch, Vec<Taken>) {
    let (scratch, host, range) = raw_volume(name, SIZE, &[]);
    let taken = take_under_load(&scratch, &host, &range, 2);
    host.stop();
    (scratch, taken)
}

fn write(image: &Path, at: u64, bytes: &[u8]) {
    let file = File::options().write(true).open(image).expect("the image");
    file.write_all_at(bytes, at).expect("written");
}

/// Something to break, and what the error must say.
struct Damage<'a> {
    at: u64,
    bytes: &'a [u8],
    says: [&'a str; 2],
    /// The place that the error must name, in either notation.
    place: Option<u64>,
}

#[test]
fn damaged_structures_are_named_and_left_alone() {
    if !can_run(&NEEDED) {
        return;
    }
    let (scratch, taken) = at_rest("damage");
    let image = scratch.image();
    let whole = fs::read(&image).expect("the image");
    let layout = Layout::of(&whole);
    let noise = [0x66; 16];
    let far = (1_u64 << 40).to_le_bytes();
    let Layout { header, catalog, snapshot_entry, store_entry, store } = layout;
    let own = |place: u64| place.to_le_bytes();
    let (catalog_next, list_next) = (own(catalog), own(store.block_list));
    let (ranges_next, bitmap_next) = (own(store.ranges), own(store.bitmap));
    let cases = [
        Damage { at: header + 16, bytes: &[9], says: ["volume header", "version"], place: Some(header + 16) },
        Damage { at: header + 48, bytes: &[1], says: ["volume header", "catalog"], place: Some(header + 48) },
        Damage { at: header + 48, bytes: &far, says: ["not within the volume", ""], place: Some(1 << 40) },
        Damage { at: catalog, bytes: &noise, says: ["catalog", "identifier"], place: Some(catalog) },
        Damage { at: catalog + NEXT, bytes: &catalog_next, says: ["catalog", "loops"], place: Some(catalog) },
        Damage {
            at: snapshot_entry + 8,
            bytes: &[0; 8],
            says: ["catalog entry", "must not be zero"],
            place: Some(snapshot_entry + 8),
        },
        Damage {
            at: store_entry + 32,
            bytes: &[1],
            says: ["catalog entry", "not a multiple"],
            place: Some(store_entry + 32),
        },
        Damage { at: snapshot_entry, bytes: &[0xee], says: ["catalog", "unknown type"], place: Some(snapshot_entry) },
        Damage { at: store_entry, bytes: &[0; 8], says: ["catalog", "no entry for its store"], place: None },
        Damage { at: store_entry + 32, bytes: &far, says: ["not within the volume", ""], place: Some(1 << 40) },
        Damage { at: store.header, bytes: &noise, says: ["store header", "identifier"], place: Some(store.header) },
        Damage {
            at: store.block_list,
            bytes: &noise,
            says: ["block list", "identifier"],
            place: Some(store.block_list),
        },
        Damage {
            at: store.block_list + NEXT,
            bytes: &list_next,
            says: ["block list", "loops"],
            place: Some(store.block_list),
        },
        Damage {
            at: store.block_list + CONTENT,
            bytes: &[1],
            says: ["block descriptor", "not a multiple"],
            place: Some(store.block_list + CONTENT),
        },
        Damage { at: store.ranges, bytes: &noise, says: ["range list", "identifier"], place: Some(store.ranges) },
        Damage {
            at: store.ranges + NEXT,
            bytes: &ranges_next,
            says: ["range list", "loops"],
            place: Some(store.ranges),
        },
        Damage { at: store.bitmap, bytes: &noise, says: ["bitmap", "identifier"], place: Some(store.bitmap) },
        Damage { at: store.bitmap + NEXT, bytes: &bitmap_next, says: ["bitmap", "loops"], place: Some(store.bitmap) },
    ];
    let mut wrong = Vec::new();
    for Damage { at, bytes, says, place } in &cases {
        let mut damaged = whole.clone();
        damaged[*at as usize..][..bytes.len()].copy_from_slice(bytes);
        write(&image, *at, bytes);
        println!("{bytes:x?} at {at:#x} must say {says:?}");
        let text = refused(&scratch, &[&image]);
        let named =
            place.is_none_or(|place| [format!("{place:#x}"), place.to_string()].iter().any(|p| text.contains(p)));
        if !says.iter().all(|part| text.contains(part)) || !named || text.lines().count() != 1 {
            wrong.push(format!("{bytes:x?} at {at:#x} must say {says:?} and {place:x?}: {text}"));
        }
        assert!(fs::read(&image).expect("the image") == damaged, "the image was written to: {text}");
        write(&image, *at, &whole[*at as usize..][..bytes.len()]);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let host = Host::start(&scratch);
    served(&host, &taken);
    host.stop();
}

#[test]
fn snapshots_survive_a_header_that_is_not_there() {
    if !can_run(&NEEDED) {
        return;
    }
    let (scratch, taken) = at_rest("header");
    let image = scratch.image();
    let whole = fs::read(&image).expect("the image");
    let header = Layout::of(&whole).header;
    // What made the header unreadable does not make store files worthless: no word may go.
    for garbage in [0xa5, 0] {
        write(&image, header, &[garbage; 512]);
        match Host::try_start(&scratch, &image, &[]) {
            Ok(host) => {
                assert!(host.shadows().is_empty());
                host.stop();
            }
            Err(text) => assert!(text.contains("header") && !text.contains("panicked"), "{text}"),
        }
        write(&image, header, &whole[header as usize..][..512]);
        assert!(fs::read(&image).expect("the image") == whole, "the image was changed");
    }
    let host = Host::start(&scratch);
    served(&host, &taken);
    host.stop();
    vsstool_check(&image);
}

#[test]
fn one_host_for_an_image_and_none_that_was_killed_is_in_the_way() {
    if !can_run(&NEEDED) {
        return;
    }
    let (scratch, mut first, range) = raw_volume("two", SIZE, &[]);
    let mut taken = take_under_load(&scratch, &first, &range, 1);
    let text = refused(&scratch, &[scratch.image()]);
    assert!(text.contains("is in use by vsshost"), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    // Another image, but the name of the first host, or its folder and its socket.
    let other = scratch.path("other.img");
    make_volume(&other, 16 * MIB, 4096);
    let text = refused(&scratch, &[other.as_os_str(), "--name".as_ref(), "v".as_ref()]);
    assert!(text.contains("v.sock"), "{text}");
    let text = Host::try_start(&scratch, &other, &[]).err().expect("the folder is taken");
    assert!(text.lines().last().is_some_and(|line| line.starts_with("vsshost: ") && line.contains("fuse")), "{text}");
    served(&first, &taken);

    first.kill();
    let mounts = || fs::read_to_string("/proc/self/mounts").expect("the mounts");
    let ours = |name: &str| format!(" {} ", scratch.path(name).display());
    assert!(mounts().contains(&ours("fuse")), "a killed host leaves its mount");
    assert!(scratch.path("run").join("v.sock").exists(), "and its socket");
    assert!(fs::read_dir(scratch.path("fuse")).is_err(), "nobody is behind the mount");
    let second = Host::start_with(&scratch, &["--nbd-clients-are-raw"]);
    served(&second, &taken);
    taken.push(take(&scratch, &second, 8 * MIB));
    served(&second, &taken);
    second.stop();
    wait_until("all mounts are gone", Duration::from_secs(5), || {
        !mounts().contains(&format!(" {}/", scratch.path("").display().to_string().trim_end_matches('/')))
    });
    // Only now: what a fallen host left is also cleaned by its own end in this test.
    drop(first);
    offline(&scratch.image(), &taken);
    vsstool_check(&scratch.image());
}

#[test]
fn bad_arguments_are_one_error() {
    if !can_run(&NEEDED) {
        return;
    }
    let scratch = Scratch::with_volume("arguments", 32 * MIB, 4096);
    let image = scratch.image();
    let before = fs::read(&image).expect("the image");
    let empty = scratch.path("empty.img");
    File::create(&empty).expect("a file");
    let short = scratch.path("short.img");
    fs::write(&short, [0x66; 1000]).expect("a file");
    let cut = scratch.path("cut.img");
    fs::write(&cut, &before[..before.len() / 2]).expect("a file");
    let name = |path: &Path| path.to_str().expect("plain characters").to_owned();
    let (file, storage) = (name(&image), name(&image) + ":0");
    let missing = name(&scratch.path("missing.img"));
    let (empty, short, cut, folder) = (name(&empty), name(&short), name(&cut), name(&scratch.path("")));
    let cases: [(&[&str], &str); 13] = [
        (&[&file, "--partition", "9"], "partition 9"),
        (&[&file, "--offset", "100"], "offset 100"),
        (&[&file, "--offset", "1099511627776"], "offset 1099511627776"),
        (&[&missing], "missing.img"),
        (&[&folder], "directory"),
        (&["/dev/null"], "/dev/null"),
        (&[&empty], "empty.img"),
        (&[&short], "short.img"),
        (&[&cut], "cut.img"),
        (&[&file, "--storage", &file], "v.img"),
        (&[&file, "--storage", &storage], "v.img"),
        (&[&file, "--storage", &missing], "missing.img"),
        (&[&file, "--storage", &empty], "empty.img"),
    ];
    let mut wrong = Vec::new();
    for (arguments, says) in cases {
        let text = refused(&scratch, arguments);
        if !text.contains(says) {
            wrong.push(format!("{arguments:?}: {text}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for arguments in [&[&file, "--offset", "x"][..], &[&file, "--partition", "0"], &[&file, "--no-such"], &[]] {
        let (code, text) = ended(&scratch, arguments);
        assert!(code.is_some_and(|code| code == 1 || code == 2), "{arguments:?}: {code:?} {text}");
        assert_eq!(text.matches("error:").count() + text.matches("vsshost: ").count(), 1, "{arguments:?}: {text}");
    }
    assert!(fs::read(&image).expect("the image") == before, "the image was written to");
}
