// SPDX-License-Identifier: MIT OR Apache-2.0
//! How the command is used: the list of commands, and each one's options.

/// A command to explain, or all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topic {
    All,
    Command(usize),
}

struct Command {
    name: &'static str,
    about: &'static str,
    options: &'static str,
    details: &'static str,
}

const VOLUME: &str = "A volume is the name of a served volume, its mount point, its image, or \\\\?\\Volume{guid}\\.";

const COMMANDS: [Command; 10] = [
    Command {
        name: "Add ShadowStorage",
        about: "Add a new volume shadow copy storage association",
        options: "/For=Volume [/On=Volume] [/MaxSize=Size]",
        details: "Gives a volume a place for its shadow copies: itself, or the volume after /On.\n\
                  Size is 900MB, 10GB, 20% of the storage volume, or UNBOUNDED, which is what it is if left out.",
    },
    Command {
        name: "Create Shadow",
        about: "Create a new volume shadow copy",
        options: "/For=Volume [/AutoRetry=Minutes]",
        details: "With /AutoRetry, goes on trying so long while another shadow copy is being made.",
    },
    Command {
        name: "Delete Shadows",
        about: "Delete volume shadow copies",
        options: "/For=Volume [/Oldest | /All] [/Quiet]\n\
                  /Shadow={id} [/Quiet]\n\
                  /All [/Quiet]",
        details: "Deletes the oldest or all shadow copies of a volume, one by its id, or all there are.\n\
                  Asks first, unless told to be quiet.",
    },
    Command {
        name: "Delete ShadowStorage",
        about: "Delete volume shadow copy storage associations",
        options: "/For=Volume [/On=Volume] [/Quiet]",
        details: "Works only while there are no shadow copies in it.",
    },
    Command { name: "List Providers", about: "List registered volume shadow copy providers", options: "", details: "" },
    Command {
        name: "List Shadows",
        about: "List existing volume shadow copies",
        options: "[/For=Volume] [/Shadow={id}] [/Set={id}]",
        details: "Lists those that fit all options that are given.",
    },
    Command {
        name: "List ShadowStorage",
        about: "List volume shadow copy storage associations",
        options: "[/For=Volume] [/On=Volume]",
        details: "",
    },
    Command {
        name: "List Volumes",
        about: "List volumes eligible for shadow copies",
        options: "",
        details: "Lists the volumes that vsshost serves.",
    },
    Command {
        name: "List Writers",
        about: "List subscribed volume shadow copy writers",
        options: "",
        details: "There are none yet on Linux.",
    },
    Command {
        name: "Resize ShadowStorage",
        about: "Resize a volume shadow copy storage association",
        options: "/For=Volume [/On=Volume] [/MaxSize=Size]",
        details: "A smaller size may delete the oldest shadow copies.\n\
                  Size is 900MB, 10GB, 20% of the storage volume, or UNBOUNDED, which is what it is if left out.",
    },
];

impl Topic {
    /// The command that these words name, or all if they name none.
    pub(crate) fn of(words: &[&str]) -> Self {
        let asked = words.iter().take(2).copied().collect::<Vec<_>>().join(" ");
        let found = COMMANDS.iter().position(|command| command.name.eq_ignore_ascii_case(&asked));
        found.map_or(Self::All, Self::Command)
    }
}

/// The help for a topic, ending in a line feed.
pub(crate) fn text(topic: Topic) -> String {
    let mut text = String::new();
    match topic {
        Topic::All => {
            text.push_str("---- Commands Supported ----\n\n");
            for command in &COMMANDS {
                text.push_str(&format!("{:<21} - {}\n", command.name, command.about));
            }
            text.push_str(
                "\nvssadmin COMMAND /? explains a command. Options are /For=X or --for X; --json prints JSON.\n",
            );
            text.push_str("Exit codes: 0 done, 1 failed or nothing found, 2 the command line makes no sense.\n");
        }
        Topic::Command(number) => {
            let Some(command) = COMMANDS.get(number) else { return text };
            for options in command.options.split('\n') {
                text.push_str(format!("{} {options}", command.name).trim_end());
                text.push('\n');
            }
            let volume = if command.options.contains("Volume") { VOLUME } else { "" };
            let details = [command.about, command.details, volume, "--json prints JSON."];
            for line in details.iter().filter(|line| !line.is_empty()).flat_map(|text| text.split('\n')) {
                text.push_str(&format!("    {}\n", line.trim()));
            }
        }
    }
    text
}
