// SPDX-License-Identifier: MIT OR Apache-2.0
//! `create shadow`.

use std::thread;
use std::time::{Duration, Instant};

use vsshost::control::messages::CreateShadow;
use vsshost::control::types::Context;
use vsshost::control::{Code, Error};

use crate::arguments;
use crate::format;
use crate::hosts::Hosts;
use crate::outcome::Outcome;
use crate::progress::Ticker;

/// Between two attempts while somebody else makes a snapshot.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

pub(super) fn shadow(options: &arguments::CreateShadow) -> Result<Outcome, Error> {
    let (mut host, name) = Hosts::find().volume(&options.volume)?;
    let ticker = Ticker::new("creating a shadow copy");
    let retry_until = Instant::now() + Duration::from_secs(60 * u64::from(options.autoretry));
    let created = loop {
        let call =
            CreateShadow { volume: Some(name.clone()), context: Context::ClientAccessible, diff_area_size: None };
        match host.work(call, &mut |progress| ticker.report(progress)) {
            Err(why) if why.code == Code::InProgress && Instant::now() < retry_until => thread::sleep(RETRY_PAUSE),
            answer => break answer,
        }
    };
    drop(ticker);
    let shadow = created?.shadow;
    let text = format!(
        "Successfully created shadow copy for '{name}'\n    Shadow Copy ID: {}\n    Shadow Copy Volume Name: {}\n",
        shadow.id,
        format::device(&shadow)
    );
    Ok(Outcome::done("shadow", &shadow, text))
}
