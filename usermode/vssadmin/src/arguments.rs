// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line, in both spellings: `/For=X` as on Windows, in any case, and `--for X` or `--for=X`.

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use vsshost::control::types::{Guid, Maximum};

use crate::help::Topic;
use crate::size;

/// A command line that makes sense.
#[derive(Debug, Parser)]
#[command(name = "vssadmin", disable_help_flag = true, disable_help_subcommand = true)]
pub(crate) struct Line {
    /// Print one JSON object.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    #[command(subcommand)]
    List(List),
    #[command(subcommand)]
    Create(Create),
    #[command(subcommand)]
    Delete(Delete),
    #[command(subcommand)]
    Add(Add),
    #[command(subcommand)]
    Resize(Resize),
}

#[derive(Debug, Subcommand)]
pub(crate) enum List {
    Providers,
    Shadows(ListShadows),
    Shadowstorage(Between),
    Volumes,
    Writers,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Create {
    Shadow(CreateShadow),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Delete {
    Shadows(DeleteShadows),
    Shadowstorage(Association),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Add {
    Shadowstorage(StorageSize),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Resize {
    Shadowstorage(StorageSize),
}

#[derive(Debug, Args)]
pub(crate) struct ListShadows {
    #[arg(long = "for", value_parser = volume)]
    pub volume: Option<String>,
    #[arg(long)]
    pub shadow: Option<Guid>,
    #[arg(long)]
    pub set: Option<Guid>,
}

/// Filters of a listing of associations.
#[derive(Debug, Args)]
pub(crate) struct Between {
    #[arg(long = "for", value_parser = volume)]
    pub volume: Option<String>,
    #[arg(long, value_parser = volume)]
    pub on: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct CreateShadow {
    #[arg(long = "for", value_parser = volume)]
    pub volume: String,
    /// Minutes to go on trying while another shadow copy is being made.
    #[arg(long, default_value_t = 0)]
    pub autoretry: u32,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteShadows {
    #[arg(long = "for", value_parser = volume, required_unless_present_any = ["all", "shadow"])]
    pub volume: Option<String>,
    #[arg(long, requires = "volume", conflicts_with_all = ["all", "shadow"])]
    pub oldest: bool,
    #[arg(long, conflicts_with = "shadow")]
    pub all: bool,
    #[arg(long)]
    pub shadow: Option<Guid>,
    #[arg(long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Association {
    #[arg(long = "for", value_parser = volume)]
    pub volume: String,
    #[arg(long, value_parser = volume)]
    pub on: Option<String>,
    #[arg(long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StorageSize {
    #[arg(long = "for", value_parser = volume)]
    pub volume: String,
    #[arg(long, value_parser = volume)]
    pub on: Option<String>,
    #[arg(long, value_parser = size::parse, default_value = "UNBOUNDED")]
    pub maxsize: Maximum,
}

fn volume(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("a volume is expected".into()) } else { Ok(text.into()) }
}

/// What a command line says.
pub(crate) enum Parsed {
    Run(Line),
    /// Somebody asks how it is used.
    Help(Topic),
    /// It makes no sense; the topic is what would help.
    Mistake {
        message: String,
        topic: Topic,
        json: bool,
    },
}

/// Reads the arguments, without the name of the program.
pub(crate) fn parse(given: &[String]) -> Parsed {
    let arguments = unix_spelling(given);
    let words: Vec<&str> = arguments.iter().take_while(|word| !word.starts_with('-')).map(String::as_str).collect();
    let topic = Topic::of(&words);
    if given.is_empty() || arguments.iter().any(|argument| matches!(argument.as_str(), "--?" | "-?" | "-h" | "--help"))
    {
        return Parsed::Help(topic);
    }
    let json = arguments.iter().any(|argument| argument == "--json");
    match Line::try_parse_from(std::iter::once("vssadmin".to_owned()).chain(arguments)) {
        Ok(line) => Parsed::Run(line),
        Err(why) => Parsed::Mistake { message: mistake(&why), topic, json },
    }
}

/// The options that may be written with a slash. Anything else that starts with one is a path.
const OPTIONS: [&str; 11] =
    ["for", "on", "maxsize", "shadow", "set", "autoretry", "oldest", "all", "quiet", "json", "?"];
/// Those that take a value: what follows `--for` is a path even if it is `/all`.
const WITH_VALUE: [&str; 6] = ["--for", "--on", "--maxsize", "--shadow", "--set", "--autoretry"];

fn unix_spelling(given: &[String]) -> Vec<String> {
    let mut arguments: Vec<String> = Vec::with_capacity(given.len());
    let mut is_value = false;
    for word in given {
        let word = if is_value { word.clone() } else { one_word(word, arguments.len()) };
        is_value = !is_value && WITH_VALUE.contains(&word.as_str());
        arguments.push(word);
    }
    arguments
}

fn one_word(word: &str, position: usize) -> String {
    if let Some(option) = word.strip_prefix('/') {
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (option, None),
        };
        let name = name.to_ascii_lowercase();
        return match value {
            _ if !OPTIONS.contains(&name.as_str()) => word.to_owned(),
            Some(value) => format!("--{name}={value}"),
            None => format!("--{name}"),
        };
    }
    // The two words of a command; Windows takes them in any case.
    if position < 2 && !word.starts_with('-') { word.to_ascii_lowercase() } else { word.to_owned() }
}

/// One line for people, from clap's several.
fn mistake(why: &clap::Error) -> String {
    if matches!(why.kind(), ErrorKind::InvalidSubcommand | ErrorKind::MissingSubcommand)
        || matches!(why.kind(), ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand)
    {
        return "Invalid command.".into();
    }
    let text = why.to_string();
    let lines = text.lines().take_while(|line| !line.is_empty() && !line.starts_with("Usage:"));
    let line = lines.map(str::trim).collect::<Vec<_>>().join(" ");
    let line = line.strip_prefix("error: ").unwrap_or(&line).to_owned();
    // clap shows options as it knows them; people here write them with a slash as often.
    if line.is_empty() { "Invalid option.".into() } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn slashes_become_dashes_and_paths_stay() {
        let cases = [
            ("List Shadows /For=C:", "list shadows --for=C:"),
            ("DELETE SHADOWS /all /Quiet", "delete shadows --all --quiet"),
            ("list shadows --for /all", "list shadows --for /all"),
            ("list shadows --for /mnt/For=x", "list shadows --for /mnt/For=x"),
            ("list shadows /FOR=/srv/A.img /json", "list shadows --for=/srv/A.img --json"),
            ("list shadows /srv/data", "list shadows /srv/data"),
            ("create shadow /?", "create shadow --?"),
        ];
        for (given, expected) in cases {
            assert_eq!(unix_spelling(&words(given)).join(" "), expected);
        }
    }

    #[test]
    fn the_definition_of_the_options_is_consistent() {
        use clap::CommandFactory;
        Line::command().debug_assert();
    }

    #[test]
    fn what_makes_no_sense_is_a_mistake() {
        for line in [
            "frob",
            "list",
            "list frobs",
            "create shadow",
            "delete shadows",
            "delete shadows /oldest",
            "delete shadows /for=a /oldest /all",
            "delete shadows /shadow=nonsense",
            "resize shadowstorage /for=a /maxsize=much",
            "list shadows /for=",
            "list shadows /srv/data",
            "list shadows /frob",
        ] {
            let Parsed::Mistake { message, .. } = parse(&words(line)) else { panic!("'{line}' makes sense") };
            assert!(!message.is_empty() && !message.contains('\n'), "{line}: {message:?}");
        }
        assert!(matches!(parse(&[]), Parsed::Help(_)));
        assert!(matches!(parse(&words("delete shadows /oldest /?")), Parsed::Help(_)));
        assert!(matches!(parse(&words("delete shadows /all /json")), Parsed::Run(Line { json: true, .. })));
    }
}
