// SPDX-License-Identifier: MIT OR Apache-2.0
//! `vsshost`: serves a live volume and its snapshots on Linux.

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use vsshost::host::{Host, LIVE, Options};
use vsshost::image::{SelectorArgs, VolumeSpec};
use vsshost::net::Address;

#[derive(Parser)]
#[command(name = "vsshost", version, about = "Serves a live volume and its shadow copies as files and over NBD")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve a volume until a signal comes or a client asks for the end.
    Serve(Serve),
}

#[derive(Args)]
struct Serve {
    /// Raw image file or block device.
    image: PathBuf,
    #[command(flatten)]
    selector: SelectorArgs,
    /// The NTFS volume that holds the diff area, if not the volume itself.
    #[arg(long, value_name = "IMAGE[:OFFSET]")]
    storage: Option<VolumeSpec>,
    /// Show the volume and its snapshots as files in this (empty) folder.
    #[arg(long, value_name = "DIR")]
    fuse: Option<PathBuf>,
    /// Serve NBD clients: unix:PATH, an absolute path, or a loopback HOST:PORT.
    #[arg(long, value_name = "ADDRESS")]
    nbd: Option<Address>,
    /// What vssadmin calls the volume; from the image's name if left out.
    #[arg(long)]
    name: Option<String>,
    /// Where ntfs-3g has, or will have, the served volume mounted.
    #[arg(long, value_name = "DIR")]
    mount_point: Option<PathBuf>,
    /// Bytes of a new snapshot's store (with K, M or G).
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    diff_area_size: Option<u64>,
    /// NBD clients of the live volume do not mount its file system.
    #[arg(long)]
    nbd_clients_are_raw: bool,
    /// Sector size in which metadata is written.
    #[arg(long, default_value = "512", value_parser = ["512", "4096"])]
    sector: String,
}

fn bytes(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.to_ascii_uppercase().chars().last() {
        Some('K') => (&text[..text.len() - 1], 1 << 10),
        Some('M') => (&text[..text.len() - 1], 1 << 20),
        Some('G') => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1u64),
    };
    let number = digits.parse::<u64>().map_err(|why| format!("'{text}' is no number of bytes: {why}"))?;
    number.checked_mul(unit).ok_or_else(|| format!("'{text}' is too large"))
}

fn main() -> ExitCode {
    let Command::Serve(serve) = Cli::parse().command;
    match run(serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vsshost: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(serve: Serve) -> Result<()> {
    let options = Options {
        image: VolumeSpec::new(serve.image, serve.selector.selector()),
        storage: serve.storage,
        fuse: serve.fuse,
        nbd: serve.nbd,
        name: serve.name,
        mount_point: serve.mount_point,
        diff_area_size: serve.diff_area_size,
        nbd_clients_are_raw: serve.nbd_clients_are_raw,
        sector: if serve.sector == "4096" { 4096 } else { 512 },
    };
    // Before anything starts: a signal that comes early must not be lost.
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM]).context("catching signals")?;
    let running = Host::start(options)?;
    let host = std::sync::Arc::clone(running.host());
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            host.request_stop();
        }
    });
    let host = running.host();
    println!("serving '{}'", host.name());
    if let Some(folder) = host.fuse_dir() {
        println!("  files: {}", folder.display());
    }
    if let Some(uri) = host.nbd_uri(LIVE) {
        println!("  nbd:   {uri}");
    }
    println!("  vssadmin knows it as /for={}", host.name());
    running.wait();
    running.stop()
}
