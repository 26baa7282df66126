// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lists, letter by letter.

use serde_json::json;
use vsshost::control::types::{Attributes, Named};

use crate::fixture::Fixture;
use crate::service::{FIRST, SECOND, SET, id, shadow};

#[test]
fn shadows_look_as_on_windows() {
    let (fixture, host) = Fixture::with_host();
    host.change(|content| content.shadows = vec![shadow("data", FIRST, 0), shadow("data", SECOND, 1)]);
    host.change(|content| {
        content.shadows[1].context = Named::context(0x9);
        content.shadows[1].attributes = Attributes::from_value(0x42_0009);
        content.shadows[1].fuse_path = None;
    });
    let expected = r"Contents of shadow copy set ID: {11111111-5e75-4c83-9d0e-1f8c1f0a9b11}
   Contained 1 shadow copies at creation time: 5/31/2022 8:45:05 AM
      Shadow Copy ID: {11111111-6f3a-4c83-9d0e-1f8c1f0a9b11}
         Original Volume: (data)\\?\Volume{5e5f0b64-5bdf-11e3-9d6c-005056c00008}\
         Shadow Copy Volume: \\?\GLOBALROOT\Device\HarddiskVolumeShadowCopy1
         Originating Machine: filer
         Service Machine: filer
         Provider: 'volsnap-rs Software Shadow Copy provider'
         Type: ClientAccessible
         Attributes: Persistent, Client-accessible, No auto release, No writers, Differential
         File: /run/vsshost/data/HarddiskVolumeShadowCopy1

Contents of shadow copy set ID: {22222222-5e75-4c83-9d0e-1f8c1f0a9b11}
   Contained 1 shadow copies at creation time: 5/31/2022 8:46:05 AM
      Shadow Copy ID: {22222222-6f3a-4c83-9d0e-1f8c1f0a9b11}
         Original Volume: (data)\\?\Volume{5e5f0b64-5bdf-11e3-9d6c-005056c00008}\
         Shadow Copy Volume: \\?\GLOBALROOT\Device\HarddiskVolumeShadowCopy2
         Originating Machine: filer
         Service Machine: filer
         Provider: 'volsnap-rs Software Shadow Copy provider'
         Type: ApplicationRollback
         Attributes: Persistent, No auto release, Differential, Auto recovered

";
    fixture.run("list shadows").says(expected);
    fixture.run("LIST Shadows /FOR=DATA").says(expected);
    let second = fixture.run(&format!("list shadows /shadow={}", SECOND.to_uppercase()));
    second.says(&expected[expected.find("Contents of shadow copy set ID: {2").unwrap()..]);

    let found = fixture.run("list shadows --json").json();
    assert_eq!(found["errors"], json!([]));
    assert_eq!(found["shadows"][0]["id"], FIRST);
    assert_eq!(found["shadows"][0]["created"]["iso"], "2022-05-31T13:45:05.0000000Z");
    assert_eq!(found["shadows"][1]["attributes"]["value"], 0x42_0009);
}

#[test]
fn a_set_over_two_hosts_is_one() {
    let (mut fixture, data) = Fixture::with_host();
    let logs = fixture.add("logs");
    for (host, volume, shadow_id) in [(&data, "data", FIRST), (&logs, "logs", SECOND)] {
        host.change(|content| {
            let member = shadow(volume, shadow_id, 0);
            content.shadows = vec![vsshost::control::messages::Shadow { set: id(SET), set_count: 2, ..member }];
        });
    }
    let ran = fixture.run(&format!("list shadows /set={SET}"));
    assert_eq!(ran.body.matches("Contents of shadow copy set ID").count(), 1, "{ran:?}");
    assert_eq!(ran.body.matches("   Contained 2 shadow copies").count(), 1);
    assert_eq!(ran.body.matches("      Shadow Copy ID").count(), 2);
    let one = fixture.run("list shadows --for logs --json").json();
    assert_eq!(one["shadows"].as_array().unwrap().len(), 1);
}

#[test]
fn storage_looks_as_on_windows() {
    let (fixture, _host) = Fixture::with_host();
    fixture.run("list shadowstorage").finds_nothing();
    let added = fixture.run("add shadowstorage /for=data /on=data /maxsize=4400MB");
    added.says("Successfully added the shadow copy storage association\n");
    let expected = r"Shadow Copy Storage association
   For volume: (data)\\?\Volume{5e5f0b64-5bdf-11e3-9d6c-005056c00008}\
   Shadow Copy Storage volume: (data)\\?\Volume{5e5f0b64-5bdf-11e3-9d6c-005056c00008}\
   Used Shadow Copy Storage space: 1.335 GB (13%)
   Allocated Shadow Copy Storage space: 320 MB (3%)
   Maximum Shadow Copy Storage space: 4.296 GB (42%)

";
    fixture.run("list shadowstorage /for=data").says(expected);
    fixture.run("list shadowstorage /on=data").says(expected);
    let resized = fixture.run("resize shadowstorage --for=data --on data --maxsize unbounded");
    resized.says("Successfully resized the shadow copy storage association\n");
    let text = fixture.run("list shadowstorage").body;
    assert!(text.contains("Maximum Shadow Copy Storage space: UNBOUNDED (100%)\n"), "{text}");
    assert_eq!(fixture.run("list shadowstorage --json").json()["associations"][0]["maximum"], json!(null));
}

#[test]
fn volumes_providers_and_writers() {
    let (fixture, host) = Fixture::with_host();
    host.change(|content| content.volume.mount_point = Some("/mnt/data".into()));
    let image = fixture.path("data.img");
    fixture.run("list volumes").says(&format!(
        r"Volume path: data
    Volume name: \\?\Volume{{5e5f0b64-5bdf-11e3-9d6c-005056c00008}}\
    Image: {} at 1048576
    Size: 10 GB
    Mount point: /mnt/data
    Files: /run/vsshost/data

",
        image.display()
    ));
    fixture.run("list providers").says(
        "Provider name: 'volsnap-rs Software Shadow Copy provider'
   Provider type: System
   Provider Id: {7d5c3c5e-28cf-4b6f-8f0e-0b4e4f0c1a52}
   Version: 0.1.0

",
    );
    let writers = fixture.run("list writers");
    writers.finds_nothing();
    assert!(writers.body.contains("no writers on Linux yet"));
    assert_eq!(fixture.run("list writers --json").json(), json!({"writers": [], "errors": []}));
}

#[test]
fn nothing_and_nobody() {
    let (fixture, _host) = Fixture::with_host();
    fixture.run("list shadows").finds_nothing();
    let empty = fixture.run("list shadows --json");
    assert_eq!((empty.code, empty.json()), (1, json!({"shadows": [], "errors": []})));

    let nobody = Fixture::empty();
    for list in ["shadows", "shadowstorage", "volumes", "providers"] {
        let ran = nobody.run(&format!("list {list}"));
        ran.finds_nothing();
        assert!(ran.body.contains("No vsshost is running: there is no socket in /"), "{ran:?}");
    }
    nobody.run("list shadows /for=data").fails(&["Error: Either the specified volume was not found", "start vsshost"]);
}

#[test]
fn a_volume_may_be_named_in_many_ways() {
    let (mut fixture, host) = Fixture::with_host();
    fixture.add("other");
    let mount = fixture.path("mnt");
    std::fs::create_dir(&mount).unwrap();
    std::os::unix::fs::symlink(&mount, fixture.path("link")).unwrap();
    host.change(|content| {
        content.volume.mount_point = Some(mount.display().to_string());
        content.volume.guid = id("{aaaaaaaa-5bdf-11e3-9d6c-005056c00008}");
        content.shadows = vec![shadow("data", FIRST, 0)];
    });
    let folder = fixture.folder.path().display().to_string();
    let names = [
        "data".to_owned(),
        "Data:".into(),
        r"DATA:\".into(),
        r"\\?\Volume{AAAAAAAA-5bdf-11e3-9d6c-005056c00008}\".into(),
        format!("{folder}/data.img"),
        format!("{folder}/../{}/data.img", fixture.folder.path().file_name().unwrap().display()),
        format!("{folder}/mnt/"),
        format!("{folder}/link"),
    ];
    for name in names {
        for line in [format!("list shadows /For={name} /json"), format!("list shadows --for {name} --json")] {
            let ran = fixture.run(&line);
            assert_eq!(ran.json()["shadows"][0]["id"], FIRST, "{ran:?}");
        }
    }
    fixture.run("list shadows /for=nothing").fails(&[
        "Error: Either the specified volume was not found or it is not a local volume.\n",
        "   served volumes are data, other\n",
        "   What: volume 'nothing'\n",
        "   Where: /",
    ]);
    let both = fixture.path("data.img").display().to_string();
    let other = fixture.add("third");
    other.change(|content| content.volume.image = both.clone());
    fixture.run(&format!("list shadows /for={both}")).fails(&["several served volumes fit: data, third"]);
}

#[test]
fn hosts_that_are_dead_or_mute_do_not_hide_the_others() {
    let (fixture, host) = Fixture::with_host();
    host.change(|content| content.shadows = vec![shadow("data", FIRST, 0)]);
    drop(std::os::unix::net::UnixListener::bind(fixture.path("dead.sock")).unwrap());
    let fine = fixture.run("list shadows");
    assert_eq!((fine.code, fine.errors.as_str()), (0, ""), "a dead socket is no host");

    let _mute = std::os::unix::net::UnixListener::bind(fixture.path("mute.sock")).unwrap();
    let ran = fixture.run("list shadows --json");
    assert_eq!(ran.code, 1);
    let found = ran.json();
    assert_eq!(found["shadows"][0]["id"], FIRST);
    assert_eq!(found["errors"][0]["code"], "unreachable");
    assert!(found["errors"][0]["where"].as_str().unwrap().ends_with("mute.sock"));
}
