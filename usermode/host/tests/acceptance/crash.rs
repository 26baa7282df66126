// SPDX-License-Identifier: MIT OR Apache-2.0
//! A host killed at any moment loses no snapshot and nothing that was verified, and the volume stays consistent.

use super::fixture::{
    Host, MIB, Mount, Random, Raw, Scratch, Taken, Verify, assert_consistent, can_run, offline, raw_volume, rounds,
    served, take, vshadowmount, vsstool_check,
};
use std::time::Duration;
use vsshost::control::Client;
use vsshost::control::messages::{Call, CreateShadow, DeleteShadows};
use vsshost::control::types::Selector;

const SIZE: u64 = 256 * MIB;
const NEEDED: [&str; 4] = ["mkntfs", "ntfs-3g", "ntfsfix", "fio"];

/// Starts the host again after the end of another.
fn again(scratch: &Scratch) -> Host {
    Host::start_with(scratch, &["--nbd-clients-are-raw"])
}

#[test]
fn killed_under_load() {
    if !can_run(&NEEDED) {
        return;
    }
    let mut random = Random::new("crash");
    let (scratch, mut host, range) = raw_volume("crash", SIZE, &[]);
    let middle = range.start + (range.end - range.start) / 2 / 4096 * 4096;
    let mut taken: Vec<Taken> = Vec::new();
    for round in 0..rounds(8) {
        let verify = Verify::new(&(range.start..middle), round as u64);
        verify.write(&host);
        let raw = Raw::start(&scratch, &host, &(middle..range.end), 400);
        taken.push(take(&scratch, &host, 4 * MIB));
        std::thread::sleep(Duration::from_millis(random.below(700)));
        host.kill();
        raw.kill();
        drop(host);
        offline(&scratch.image(), &taken);
        host = again(&scratch);
        served(&host, &taken);
        assert!(verify.holds(&host), "round {round}: what fio verified is not there any more");
    }
    assert_consistent(&host.live());
    let mount = Mount::ntfs(&scratch, "mnt", &host.live());
    mount.end();
    host.stop();
    vshadowmount(&scratch, &taken);
    vsstool_check(&scratch.image());
}

/// Asks for something whose answer nobody may live to see.
fn ask_and_forget<C: Call + Send + 'static>(host: &Host, call: C) {
    let mut client: Client = host.client();
    std::thread::spawn(move || drop(client.call(call, &mut |_| {})));
}

#[test]
fn killed_while_snapshots_come_and_go() {
    if !can_run(&NEEDED) {
        return;
    }
    let mut random = Random::new("come-and-go");
    let (scratch, mut host, range) = raw_volume("come-and-go", SIZE, &[]);
    let mut taken: Vec<Taken> = Vec::new();
    for round in 0..rounds(10) {
        let raw = Raw::start(&scratch, &host, &range, 300);
        while taken.len() < 3 {
            taken.push(take(&scratch, &host, 4 * MIB));
        }
        let victim = (round % 2 == 1).then(|| random.below(3) as usize);
        match victim {
            Some(at) => {
                let selector = Selector::Shadow(taken[at].shadow.id);
                ask_and_forget(&host, DeleteShadows { volume: None, selector });
            }
            None => ask_and_forget(&host, CreateShadow::default()),
        }
        std::thread::sleep(Duration::from_millis(random.below(if victim.is_some() { 40 } else { 250 })));
        host.kill();
        raw.kill();
        drop(host);
        host = again(&scratch);
        let there = host.shadows();
        if let Some(at) = victim.filter(|at| there.iter().all(|shadow| shadow.id != taken[*at].shadow.id)) {
            taken.remove(at);
        }
        served(&host, &taken);
        for shadow in there.iter().filter(|shadow| taken.iter().all(|taken| taken.shadow.id != shadow.id)) {
            assert!(victim.is_none(), "nobody made {}", shadow.id);
            host.delete(shadow.id);
        }
        served(&host, &taken);
        assert_consistent(&host.live());
    }
    host.stop();
    offline(&scratch.image(), &taken);
    vshadowmount(&scratch, &taken);
    vsstool_check(&scratch.image());
}

#[test]
fn ended_under_load() {
    if !can_run(&NEEDED) {
        return;
    }
    let (scratch, mut host, range) = raw_volume("ended", SIZE, &[]);
    let mut taken: Vec<Taken> = Vec::new();
    for _ in 0..rounds(3) {
        let raw = Raw::start(&scratch, &host, &range, 400);
        taken.push(take(&scratch, &host, 4 * MIB));
        std::thread::sleep(Duration::from_millis(200));
        let status = host.terminate();
        assert!(status.success(), "{status}: {}", host.log());
        raw.kill();
        drop(host);
        offline(&scratch.image(), &taken);
        host = again(&scratch);
        served(&host, &taken);
    }
    assert_consistent(&host.live());
    host.stop();
    vsstool_check(&scratch.image());
}
