// SPDX-License-Identifier: MIT OR Apache-2.0
//! `delete shadows`: counts what would go, asks, and deletes exactly those, by their ids. A shadow copy that is made
//! while the question stands is not deleted by the answer.

use std::io::Write;

use vsshost::control::messages::{DeleteShadows, ListShadows, Shadow};
use vsshost::control::types::{Guid, Selector};
use vsshost::control::{Code, Error};

use crate::arguments;
use crate::hosts::{Host, Hosts};
use crate::outcome::{self, Outcome};
use crate::progress::Ticker;

pub(super) fn shadows(which: &arguments::DeleteShadows, json: bool) -> Result<Outcome, Error> {
    let mut hosts = Hosts::find();
    let explanation = hosts.explanation();
    let mut errors = std::mem::take(&mut hosts.errors);
    let wanted = match &which.volume {
        Some(spec) => {
            hosts.errors = std::mem::take(&mut errors);
            let (mut host, name) = hosts.volume(spec)?;
            let query = ListShadows { volume: Some(name), shadow: which.shadow, set: None };
            let mut found = host.ask(query)?.shadows;
            if which.oldest {
                found.truncate(1);
            }
            vec![(host, found)]
        }
        None => {
            let mut wanted = Vec::new();
            for mut host in hosts.hosts {
                match host.ask(ListShadows { shadow: which.shadow, ..ListShadows::default() }) {
                    Ok(found) => wanted.push((host, found.shadows)),
                    Err(why) => errors.push(why),
                }
            }
            wanted
        }
    };
    let count: usize = wanted.iter().map(|(_, found)| found.len()).sum();
    if count == 0 {
        return Ok(Outcome::list("deleted", &[] as &[Guid], explanation).with(errors));
    }
    if !which.quiet && !confirmed(count, json) {
        return Err(Error::new(
            Code::Other,
            "nothing was deleted: not confirmed",
            format!("{count} shadow copies"),
            "",
        ));
    }

    let ticker = Ticker::new("deleting shadow copies");
    let mut deleted = Vec::new();
    for (mut host, found) in wanted {
        delete_each(&mut host, &found, &ticker, &mut deleted, &mut errors);
    }
    drop(ticker);
    let text = match deleted.len() {
        0 => String::new(),
        number => format!("Successfully deleted {number} shadow copies.\n"),
    };
    Ok(Outcome::done("deleted", &deleted, text).with(errors))
}

/// Oldest first, which costs the least.
fn delete_each(host: &mut Host, shadows: &[Shadow], ticker: &Ticker, deleted: &mut Vec<Guid>, errors: &mut Vec<Error>) {
    for shadow in shadows {
        let call = DeleteShadows { volume: Some(shadow.volume.clone()), selector: Selector::Shadow(shadow.id) };
        match host.work(call, &mut |progress| ticker.report(progress)) {
            Ok(answer) => deleted.extend(answer.deleted),
            // Gone meanwhile, for lack of space or by somebody else: that is what was wanted.
            Err(why) if why.code == Code::NotFound => {}
            Err(why) => errors.push(why),
        }
    }
}

/// Asks on the terminal, or whoever answers on standard input; no answer is no.
fn confirmed(count: usize, json: bool) -> bool {
    let question = format!("Do you really want to delete {count} shadow copies (Y/N): [N]? ");
    if json {
        // Standard output is for the object alone.
        let _ = std::io::stderr().write_all(question.as_bytes());
    } else {
        outcome::print(&question);
        let _ = std::io::stdout().flush();
    }
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}
