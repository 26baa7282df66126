// SPDX-License-Identifier: MIT OR Apache-2.0
//! Commands that change something: their texts, questions and failures.

use std::time::Duration;

use serde_json::json;
use vsshost::control::{Code, Error};

use crate::fixture::Fixture;
use crate::service::{FIRST, Host, SECOND, shadow};

fn with_two() -> (Fixture, Host) {
    let (fixture, host) = Fixture::with_host();
    host.change(|content| content.shadows = vec![shadow("data", FIRST, 0), shadow("data", SECOND, 1)]);
    (fixture, host)
}

fn left(host: &Host) -> Vec<String> {
    host.change(|content| content.shadows.iter().map(|shadow| shadow.id.to_string()).collect())
}

#[test]
fn create_says_what_windows_says() {
    let (fixture, host) = Fixture::with_host();
    fixture.run("create shadow /for=data").says(
        r"Successfully created shadow copy for 'data'
    Shadow Copy ID: {22222222-6f3a-4c83-9d0e-1f8c1f0a9b11}
    Shadow Copy Volume Name: \\?\GLOBALROOT\Device\HarddiskVolumeShadowCopy2
",
    );
    assert_eq!(left(&host), [SECOND]);
    let made = fixture.run("create shadow --for=data --json").json();
    assert_eq!(made["shadow"]["device_name"], "HarddiskVolumeShadowCopy2");
    assert_eq!(made["errors"], json!([]));
}

#[test]
fn create_tells_progress_after_a_second_and_not_before() {
    let (fixture, host) = Fixture::with_host();
    host.change(|content| content.slow = Duration::from_millis(1400));
    let ran = fixture.run("create shadow /for=data");
    assert_eq!(ran.code, 0);
    assert_eq!(ran.errors, "reserving the diff area: 64 of 320 (1 s)\n");
    host.change(|content| content.slow = Duration::from_millis(100));
    assert_eq!(fixture.run("create shadow /for=data").errors, "");
}

#[test]
fn create_tries_again_only_if_told_to() {
    let (fixture, host) = Fixture::with_host();
    let busy = || Error::new(Code::InProgress, "set {x} is being made", "volume 'data'", "/srv/data.img at 1048576");
    host.change(|content| content.failures = vec![busy()]);
    fixture.run("create shadow /for=data").fails(&[
        "Error: Another shadow copy creation is already in progress.",
        "\n   set {x} is being made\n   What: volume 'data'\n   Where: /srv/data.img at 1048576\n",
    ]);
    host.change(|content| content.failures = vec![busy()]);
    assert_eq!(fixture.run("create shadow /for=data /AutoRetry=1").code, 0);
}

#[test]
fn errors_have_windows_words_and_ours() {
    let (fixture, host) = Fixture::with_host();
    let cases = [
        (Code::NoSpace, "Error: Insufficient storage available to create"),
        (Code::Busy, "Error: The volume or the shadow copy storage association is in use."),
        (Code::NotSupported, "Error: The specified volume does not support that."),
        (Code::Io, "Error: in our words\n   What: the object\n   Where: the place\n"),
    ];
    for (code, text) in cases {
        let error = Error::new(code, "in our words", "the object", "the place");
        host.change(|content| content.failures = vec![error.clone(), error.clone()]);
        fixture.run("create shadow /for=data").fails(&[text, "in our words", "Where: the place"]);
        let ran = fixture.run("create shadow /for=data /json");
        assert_eq!((ran.code, ran.json()), (1, json!({"errors": [error]})));
    }
}

#[test]
fn delete_asks_first() {
    let (fixture, host) = with_two();
    let question = "Do you really want to delete 1 shadow copies (Y/N): [N]? ";
    for no in ["", "n\n", "\n", "yesterday\n"] {
        let ran = fixture.run_with("delete shadows /for=data /oldest", no);
        assert!(ran.body.starts_with(question), "{ran:?}");
        ran.fails(&["nothing was deleted"]);
    }
    assert_eq!(left(&host).len(), 2);
    let ran = fixture.run_with("delete shadows /for=data /oldest", "Y\n");
    assert_eq!(ran.code, 0);
    assert!(ran.body.ends_with("Successfully deleted 1 shadow copies.\n"), "{ran:?}");
    assert_eq!(left(&host), [SECOND]);

    let ran = fixture.run_with("delete shadows /for=data --json", "y\n");
    assert_eq!(ran.errors, question);
    assert_eq!(ran.json(), json!({"deleted": [SECOND], "errors": []}));
}

#[test]
fn delete_takes_what_is_selected() {
    let (fixture, host) = with_two();
    fixture.run("Delete Shadows /For=data /Oldest /Quiet").says("Successfully deleted 1 shadow copies.\n");
    assert_eq!(left(&host), [SECOND]);

    let (fixture, host) = with_two();
    fixture.run(&format!("delete shadows /shadow={SECOND} /quiet")).says("Successfully deleted 1 shadow copies.\n");
    assert_eq!(left(&host), [FIRST]);
    fixture.run(&format!("delete shadows /shadow={SECOND} /quiet")).finds_nothing();

    for all in ["/for=data", "/for=data /all", "/all"] {
        let (mut fixture, host) = with_two();
        let other = fixture.add("other");
        other.change(|content| content.shadows = vec![shadow("other", FIRST, 0)]);
        let count = if all == "/all" { 3 } else { 2 };
        let ran = fixture.run(&format!("delete shadows {all} /quiet"));
        ran.says(&format!("Successfully deleted {count} shadow copies.\n"));
        assert!(left(&host).is_empty());
        assert_eq!(left(&other).len(), 3 - count);
        fixture.run("delete shadows /for=data /quiet").finds_nothing();
    }
}

#[test]
fn delete_goes_on_after_a_failure_and_reports_it() {
    let (fixture, host) = with_two();
    host.change(|content| content.failures = vec![Error::new(Code::Io, "cannot read", "shadow copy", "at 7")]);
    let ran = fixture.run("delete shadows /for=data /quiet");
    ran.fails(&["Error: cannot read\n"]);
    assert_eq!(ran.body, "Successfully deleted 1 shadow copies.\n");
    assert_eq!(left(&host), [FIRST]);
}

#[test]
fn storage_commands() {
    let (fixture, host) = Fixture::with_host();
    let image = fixture.path("store.img");
    std::fs::write(&image, "").unwrap();
    let image = image.display().to_string();
    fixture
        .run(&format!("add shadowstorage /for=data /on={image} /maxsize=20%"))
        .says("Successfully added the shadow copy storage association\n");
    let association = host.change(|content| content.association.clone().unwrap());
    assert_eq!((association.on.as_str(), association.maximum), (image.as_str(), Some((10 << 30) / 100 * 20)));
    fixture
        .run(&format!("resize shadowstorage /for=data /on={image} /maxsize=900MB"))
        .says("Successfully resized the shadow copy storage association\n");
    assert_eq!(host.change(|content| content.association.as_ref().unwrap().maximum), Some(900 << 20));
    fixture
        .run("delete shadowstorage /for=data /quiet")
        .says("Successfully deleted the shadow copy storage association(s)\n");
    fixture.run("delete shadowstorage /for=data").fails(&["there is no such association"]);
    fixture.run("add shadowstorage /for=data /on=/no/such/file").fails(&["volume '/no/such/file'"]);
    host.change(|content| content.failures = vec![Error::new(Code::AlreadyExists, "as said", "", "")]);
    fixture
        .run("add shadowstorage /for=data")
        .fails(&["The specified shadow copy storage association already exists."]);
}
