// SPDX-License-Identifier: MIT OR Apache-2.0
//! Help, and command lines that make no sense.

use crate::fixture::{BANNER, Fixture};

const COMMANDS: &str = "---- Commands Supported ----

Add ShadowStorage     - Add a new volume shadow copy storage association
Create Shadow         - Create a new volume shadow copy
Delete Shadows        - Delete volume shadow copies
Delete ShadowStorage  - Delete volume shadow copy storage associations
List Providers        - List registered volume shadow copy providers
List Shadows          - List existing volume shadow copies
List ShadowStorage    - List volume shadow copy storage associations
List Volumes          - List volumes eligible for shadow copies
List Writers          - List subscribed volume shadow copy writers
Resize ShadowStorage  - Resize a volume shadow copy storage association

vssadmin COMMAND /? explains a command. Options are /For=X or --for X; --json prints JSON.
Exit codes: 0 done, 1 failed or nothing found, 2 the command line makes no sense.
";

#[test]
fn the_commands_are_listed() {
    let fixture = Fixture::empty();
    for line in ["", "/?", "--help", "-h", "list /?"] {
        fixture.run(line).says(COMMANDS);
    }
}

#[test]
fn each_command_explains_itself() {
    let fixture = Fixture::empty();
    let commands = COMMANDS.lines().filter_map(|line| line.split_once(" - ")).map(|(name, _)| name.trim());
    let mut count = 0;
    for command in commands {
        let ran = fixture.run(&format!("{} /?", command.to_lowercase()));
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.body.starts_with(command) && ran.body.contains("--json"), "{ran:?}");
        count += 1;
    }
    assert_eq!(count, 10);
}

#[test]
fn mistakes_exit_with_two_and_say_what() {
    let fixture = Fixture::empty();
    let cases = [
        ("frob", "Error: Invalid command."),
        ("list", "Error: Invalid command."),
        ("list frobs", "Error: Invalid command."),
        ("revert shadow", "Error: Invalid command."),
        ("create shadow", "--for"),
        ("list shadows /frob=1", "/frob=1"),
        ("delete shadows /for=x /maxsize=1", "--maxsize"),
        ("delete shadows /for=x /oldest /all", "cannot be used with"),
        ("delete shadows /shadow=17", "'17' is not an identifier"),
        ("resize shadowstorage /for=x /maxsize=1.5GB", "'1.5GB' is no size"),
        ("create shadow /for=x /for=y", "cannot be used multiple times"),
    ];
    for (line, text) in cases {
        let ran = fixture.run(line);
        assert_eq!((ran.code, ran.body.as_str()), (2, ""), "{ran:?}");
        assert!(ran.errors.starts_with(&format!("{BANNER}Error: ")) && ran.errors.contains(text), "{ran:?}");
        let json = fixture.run(&format!("{line} --json"));
        assert_eq!((json.code, json.errors.as_str()), (2, ""), "{json:?}");
        assert_eq!(json.json()["errors"][0]["code"], "invalid_argument", "{json:?}");
    }
    let help = fixture.run("delete shadows").errors;
    assert!(help.contains("Delete Shadows /For=Volume [/Oldest | /All] [/Quiet]\n"), "{help}");
}

#[test]
fn a_runtime_folder_that_others_can_write_to_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = Fixture::empty();
    std::fs::set_permissions(fixture.folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    fixture.run("list shadows").fails(&["only they can write to", "Where: /"]);
}
