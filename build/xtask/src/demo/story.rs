// SPDX-License-Identifier: MIT OR Apache-2.0
//! The story, from an image to a table. Everything that is started here ends here, however that comes about: values
//! are dropped in the reverse order of their making.

use std::{
    collections::BTreeMap,
    fs,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};

use super::{
    Args,
    content::{self, Content, DELETED, DIARY},
    folder::{Folder, LIVE, LOOK, SAVED},
    hash::{self, Digest},
    host::{Host, Shadow},
    image::Image,
    interrupt,
    mount::Ntfs,
    ntfs::InUse,
    programs::Programs,
    proofs::Proofs,
    readers,
    tool::{self, command},
    writer::{self, Writer},
};

/// How ntfs-3g mounts the live volume, and a snapshot.
const LIVE_OPTIONS: &str = "big_writes,noatime";
const SNAPSHOT_OPTIONS: &str = "ro";

/// Bytes that must be free on somebody's volume.
const NEEDED: u64 = 192 << 20;

/// What a snapshot must keep, by its store's id: the hash of the clusters in use, and how many there are.
type Kept = BTreeMap<String, Digest>;

/// A snapshot of ours.
struct Taken {
    day: &'static str,
    shadow: Shadow,
    moment: Moment,
}

/// How the moment of a snapshot is known.
enum Moment {
    /// Nothing was written, and the tree was saved there.
    Still(PathBuf),
    /// The writer wrote; these are its complete rounds before and after.
    Running(RangeInclusive<u64>),
}

/// What is on the stage while the volume is served.
struct Scene<'a> {
    folder: &'a Folder,
    host: &'a Host,
    proofs: &'a mut Proofs,
    /// The folder of the story in the live volume, and its name in the root.
    place: PathBuf,
    name: String,
    kept: Kept,
}

/// Tells it.
pub(super) fn tell(args: &Args, folder: &Folder, programs: &Programs, proofs: &mut Proofs) -> Result<()> {
    let image = match &args.image {
        None => {
            heading("An NTFS volume");
            Image::make(folder)?
        }
        Some(path) => {
            heading("A copy of your image");
            Image::copy(folder, programs, path, args.partition)?
        }
    };

    let kept = if image.snapshots.is_empty() {
        Kept::new()
    } else {
        heading("The snapshots that it has already");
        look_at_old_snapshots(folder, programs, &image, proofs)?
    };

    heading("vsshost serves it");
    let host = Host::serve(programs, folder, &image)?;
    let live = mount_live(folder, &host)?;
    let (place, name) = story_folder(live.path(), &live)?;
    let mut scene = Scene { folder, host: &host, proofs, place, name, kept };
    scene.play()?;

    heading("The end: unmount, then stop the host");
    println!("   $ umount {LIVE}");
    live.unmount()?;
    let shadows = host.list()?;
    let served = readers::served(&shadows)?;
    let served_volume = hash::whole(&host.volume())?;
    let complaints = host.complaints();
    host.stop()?;
    proofs.prove("vsshost had nothing to complain about", "its standard error", || {
        ensure!(complaints.is_empty(), "{complaints}");
        Ok("nothing there".into())
    })?;
    proofs.prove("the image holds all that was written", "sha256 against the served volume", || {
        let digest = hash::range(&image.path, image.offset, image.size)?;
        ensure!(digest == served_volume, "{digest:.16}…, the host showed {served_volume:.16}…");
        Ok(format!("{digest:.16}…"))
    })?;

    heading("Others read the image");
    readers::compare(folder, programs, &image, &served, proofs)?;
    proofs.prove("every structure is as it should be", "vsstool check", || readers::check(folder, programs, &image))?;
    println!("   the image takes {} MiB on the disk", image.on_disk()? >> 20);
    if args.keep {
        explore(folder, programs, &image);
    }
    Ok(())
}

impl Scene<'_> {
    fn play(&mut self) -> Result<()> {
        heading("Monday: files, and a program that goes on writing");
        let (content, files) = Content::monday(&self.place)?;
        let writer = Writer::start(&self.place)?;
        println!("   {files} files in {LIVE}/{}; the writer writes to {}/", self.name, writer::FOLDER);
        let monday = self.snapshot_at_rest("Monday", &writer)?;

        heading("Tuesday: files change and go, and nobody waits for the snapshot");
        content.tuesday()?;
        println!("   changed {DIARY}, deleted {DELETED} and a folder, renamed a photo");
        let tuesday = self.snapshot_under_load("Tuesday", &writer)?;

        heading("Wednesday and Thursday: more of both");
        content.wednesday()?;
        let wednesday = self.snapshot_at_rest("Wednesday", &writer)?;
        content.thursday()?;
        let thursday = self.snapshot_under_load("Thursday", &writer)?;
        content.friday()?;

        heading("Friday: each snapshot still shows its day");
        for taken in [&monday, &tuesday, &wednesday, &thursday] {
            self.look_at(taken, &content)?;
        }

        heading("Monday's files come back");
        self.restore(&monday, &content)?;

        heading("Tuesday's snapshot is deleted");
        self.delete(&tuesday, &[&monday, &wednesday, &thursday])?;
        self.proofs.prove("the writer never failed", "each write and fsync", || Ok(format!("{} rounds", writer.end()?)))
    }

    /// The writer pauses, and what is there is saved.
    fn snapshot_at_rest(&mut self, day: &'static str, writer: &Writer) -> Result<Taken> {
        let round = writer.pause()?;
        println!("   the writer pauses after round {round}");
        let saved = self.folder.at(SAVED).join(day);
        let mut cp = command("cp", self.folder.path());
        cp.arg("-a").arg(Path::new(LIVE).join(&self.name)).arg(Path::new(SAVED).join(day));
        tool::show(&cp);
        tool::run(&mut cp)?;
        let shadow = self.host.create()?;
        writer.resume()?;
        self.taken(Taken { day, shadow, moment: Moment::Still(saved) })
    }

    /// The writer goes on.
    fn snapshot_under_load(&mut self, day: &'static str, writer: &Writer) -> Result<Taken> {
        let before = writer.done();
        let shadow = self.host.create()?;
        let after = writer.done();
        println!("   the writer went from round {before} to {after} meanwhile");
        self.taken(Taken { day, shadow, moment: Moment::Running(before..=after) })
    }

    fn taken(&mut self, taken: Taken) -> Result<Taken> {
        let (store, digest) = (taken.shadow.store.clone(), kept_by(&taken.shadow)?);
        println!("   snapshot {}, sha256 of what it keeps {digest:.16}…", taken.shadow.id);
        self.kept.insert(store, digest);
        Ok(taken)
    }

    fn look_at(&mut self, taken: &Taken, content: &Content) -> Result<()> {
        let mount = Ntfs::mount(self.folder, &taken.shadow.fuse_path, LOOK, SNAPSHOT_OPTIONS)?;
        let there = mount.path().join(&self.name);
        let diary = content::read_text(&there.join(DIARY))?;
        println!("   {DIARY} of {}: {:?}; now: {:?}", taken.day, diary.trim_end(), content.diary()?.trim_end());
        let (folder, day) = (self.folder, taken.day);
        match &taken.moment {
            Moment::Still(saved) => self.proofs.prove(
                format!("{day}'s snapshot is {day}'s tree"),
                "diff -r with a copy saved then",
                || readers::same_tree(folder, saved, &there),
            )?,
            Moment::Running(rounds) => self.proofs.prove(
                format!("{day}'s snapshot, made under load, is of one moment"),
                "order of the writer's fsyncs",
                || {
                    ensure!(diary.starts_with(day), "the diary says {diary:?}");
                    let (letters, moment) = writer::check(&there, rounds.clone())?;
                    Ok(format!("round {moment}, {letters} finished files complete"))
                },
            )?,
        }
        mount.unmount()
    }

    fn restore(&mut self, from: &Taken, content: &Content) -> Result<()> {
        let Moment::Still(saved) = &from.moment else { bail!("{}: nothing was saved", from.day) };
        let mount = Ntfs::mount(self.folder, &from.shadow.fuse_path, LOOK, SNAPSHOT_OPTIONS)?;
        let there = mount.path().join(&self.name);
        self.proofs.prove("a snapshot cannot be written to", "a new file in it", || {
            match fs::write(there.join("new"), "new") {
                Ok(()) => bail!("it was written"),
                Err(error) => Ok(format!("{error}")),
            }
        })?;
        for (name, what) in [(DELETED, "deleted"), (DIARY, "changed")] {
            self.proofs.prove(format!("a {what} file comes back"), "its bytes, with the saved copy", || {
                let is = content.at(name).exists();
                ensure!(is == (what == "changed"), "{name} is {} before", if is { "there" } else { "not there" });
                println!("   $ cp {LOOK}/{}/{name} {LIVE}/{}/{name}", self.name, self.name);
                let bytes = content::restore(&there.join(name), &content.at(name), &saved.join(name))?;
                Ok(format!("{name}, {bytes} bytes"))
            })?;
        }
        println!("   {DIARY} now: {:?}", content.diary()?.trim_end());
        mount.unmount()
    }

    fn delete(&mut self, middle: &Taken, others: &[&Taken]) -> Result<()> {
        let files = store_files(self.folder)?;
        self.host.delete(&middle.shadow)?;
        self.kept.remove(&middle.shadow.store);
        let (host, folder) = (self.host, self.folder);
        self.proofs.prove("the deleted snapshot is gone", "vssadmin list shadows, its file", || {
            // The host deletes the file when it has moved what older snapshots need of it.
            super::wait_until("the deleted snapshot's file goes", || Ok(store_files(folder)? < files))?;
            let listed = host.list()?;
            ensure!(!listed.iter().any(|shadow| shadow.id == middle.shadow.id), "it is listed");
            ensure!(!middle.shadow.fuse_path.exists(), "it is served");
            Ok(format!("{} are left", listed.len()))
        })?;
        let days = others.iter().map(|taken| taken.day).collect::<Vec<_>>().join(", ");
        self.unchanged(&format!("{days} are unchanged"), others.iter().map(|taken| &taken.shadow))?;

        // Those that the image came with.
        let mut old = self.host.list()?;
        old.retain(|shadow| {
            self.kept.contains_key(&shadow.store) && !others.iter().any(|taken| taken.shadow.id == shadow.id)
        });
        if old.is_empty() {
            return Ok(());
        }
        let claim = format!("the {} snapshots from before are unchanged", old.len());
        self.unchanged(&claim, old.iter())
    }

    fn unchanged<'s>(&mut self, claim: &str, shadows: impl Iterator<Item = &'s Shadow>) -> Result<()> {
        let kept = &self.kept;
        self.proofs.prove(claim, "sha256 of the clusters in use then", || {
            let mut digests = Vec::new();
            for shadow in shadows {
                let before = kept.get(&shadow.store).context("it was not hashed before")?;
                let after = kept_by(shadow)?;
                ensure!(after == *before, "{}: {after:.16}…, was {before:.16}…", shadow.id);
                digests.push(format!("{after:.8}…"));
            }
            ensure!(!digests.is_empty(), "there are none");
            Ok(digests.join(" "))
        })
    }
}

/// What Windows, or somebody else, made: read by three programs before anything changes. Gives what must stay.
fn look_at_old_snapshots(folder: &Folder, programs: &Programs, image: &Image, proofs: &mut Proofs) -> Result<Kept> {
    let host = Host::serve(programs, folder, image)?;
    let shadows = host.list()?;
    let served = readers::served(&shadows)?;
    let kept = old_kept(image, shadows, proofs)?;
    host.stop()?;
    readers::compare(folder, programs, image, &served, proofs)?;
    Ok(kept)
}

fn old_kept(image: &Image, shadows: Vec<Shadow>, proofs: &mut Proofs) -> Result<Kept> {
    let mut kept = Kept::new();
    for shadow in shadows {
        let known = image.snapshots.iter().find(|known| known.store == shadow.store);
        if known.is_some_and(|known| known.is_partial()) {
            let why = "a restore point: Windows keeps only a part of it";
            proofs.skip(format!("snapshot {} stays unchanged", shadow.id), "sha256 of the clusters in use then", why);
        } else {
            kept.insert(shadow.store.clone(), kept_by(&shadow)?);
        }
    }
    Ok(kept)
}

/// The hash of what a snapshot must keep.
fn kept_by(shadow: &Shadow) -> Result<Digest> {
    hash::clusters(&shadow.fuse_path, &InUse::of(&shadow.fuse_path)?)
}

fn mount_live(folder: &Folder, host: &Host) -> Result<Ntfs> {
    heading("ntfs-3g mounts it");
    let live = Ntfs::mount(folder, &host.volume(), LIVE, LIVE_OPTIONS)?;
    let space = rustix::fs::statvfs(live.path()).context("ask for the free space")?;
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    println!("   {} MiB are free", free >> 20);
    ensure!(free >= NEEDED, "the volume has {} MiB free, and the demo needs {}", free >> 20, NEEDED >> 20);
    Ok(live)
}

/// A new folder in the root: nobody's own files are used.
fn story_folder(root: &Path, live: &Ntfs) -> Result<(PathBuf, String)> {
    for number in 1.. {
        let name = if number == 1 { "story".to_owned() } else { format!("story-{number}") };
        let path = root.join(&name);
        match fs::create_dir(&path) {
            Ok(()) => return Ok((path, name)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(error).with_context(|| format!("make {}; ntfs-3g says: {}", path.display(), live.said()));
            }
        }
    }
    bail!("every name is taken")
}

/// How many files the diff area has.
fn store_files(folder: &Folder) -> Result<usize> {
    let area = folder.at(LIVE).join("System Volume Information");
    let entries = fs::read_dir(&area).with_context(|| format!("read {}", area.display()))?;
    Ok(entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with('{')).count())
}

fn heading(text: &str) {
    // A person who looks on wants to know where we are; a failure to tell is no failure.
    if !interrupt::asked() {
        println!("\n{text}");
    }
}

/// What to type next.
fn explore(folder: &Folder, programs: &Programs, image: &Image) {
    let at = |name: &str| folder.at(name).display().to_string();
    let (host, admin, tool) = (programs.vsshost.display(), programs.vssadmin.display(), programs.vsstool.display());
    let (path, offset) = (image.path.display(), image.offset);
    let (served, live, look) = (at("served"), at(LIVE), at(LOOK));
    println!("\nEverything is in {}. To look further:", folder.path().display());
    println!("   {tool} info {path} --offset {offset}");
    println!("   {tool} export {path} --offset {offset} --snapshot 1 --output /tmp/monday.img");
    println!("   vshadowinfo -o {offset} {path}");
    println!("   {host} serve {path} --offset {offset} --name demo --fuse {served} --mount-point {live} &");
    println!("   ntfs-3g {served}/volume {live}");
    println!("   {admin} list shadows");
    println!("   {admin} create shadow /for=demo");
    println!("   ntfs-3g -o ro {served}/HarddiskVolumeShadowCopy1 {look}");
    println!("and to be rid of it: umount {look} {live}; kill %1; rm -r {}", folder.path().display());
}
