// SPDX-License-Identifier: MIT OR Apache-2.0
//! What was claimed, how it was looked at, and what was seen: the table at the end.

use anyhow::Result;

use super::interrupt;
use crate::steps::Count;

/// Every check so far.
#[derive(Default)]
pub(super) struct Proofs {
    rows: Vec<Row>,
}

struct Row {
    claim: String,
    how: &'static str,
    verdict: Verdict,
}

enum Verdict {
    /// With what was seen.
    Right(String),
    /// With what was seen instead.
    Wrong(String),
    /// With the reason.
    Skipped(String),
}

impl Verdict {
    fn text(&self) -> (&'static str, &str) {
        match self {
            Self::Right(seen) => ("ok", seen),
            Self::Wrong(seen) => ("WRONG", seen),
            Self::Skipped(why) => ("skipped", why),
        }
    }
}

impl Proofs {
    /// Makes a check and says at once how it went. The check gives what it saw; an error is what it saw instead. The
    /// story goes on after a failed check, so that one run shows everything that is wrong.
    ///
    /// # Errors
    /// Only that somebody interrupted the demo.
    pub(super) fn prove(
        &mut self,
        claim: impl Into<String>,
        how: &'static str,
        check: impl FnOnce() -> Result<String>,
    ) -> Result<()> {
        let verdict = match check() {
            Ok(seen) => Verdict::Right(seen),
            Err(error) => Verdict::Wrong(format!("{error:#}")),
        };
        interrupt::check()?;
        self.add(claim.into(), how, verdict);
        Ok(())
    }

    /// Something that cannot be checked here, for this reason.
    pub(super) fn skip(&mut self, claim: impl Into<String>, how: &'static str, why: impl Into<String>) {
        self.add(claim.into(), how, Verdict::Skipped(why.into()));
    }

    fn add(&mut self, claim: String, how: &'static str, verdict: Verdict) {
        let (word, seen) = verdict.text();
        println!("   {word}: {claim}: {seen}");
        self.rows.push(Row { claim, how, verdict });
    }

    /// Prints the table.
    pub(super) fn print(&self) {
        if self.rows.is_empty() {
            return;
        }
        let width = |of: fn(&Row) -> &str| self.rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0);
        let (claim, how) = (width(|row| &row.claim), width(|row| row.how));
        println!("\n{:<claim$}  {:<how$}  result", "check", "how");
        for row in &self.rows {
            let (word, seen) = row.verdict.text();
            // The whole of a long message was printed when it came.
            let seen = seen.lines().next().unwrap_or_default();
            println!("{:<claim$}  {:<how$}  {word}: {seen}", row.claim, row.how);
        }
    }

    /// How many were right and wrong.
    pub(super) fn count(&self) -> Count {
        let of = |word: &str| self.rows.iter().filter(|row| row.verdict.text().0 == word).count() as u64;
        Count { passed: of("ok"), failed: of("WRONG") }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::Proofs;
    use crate::steps::Count;

    #[test]
    fn counts_what_was_seen() {
        let mut proofs = Proofs::default();
        proofs.prove("a", "by looking", || Ok("seen".into())).unwrap();
        proofs.prove("b", "by looking", || bail!("nothing there")).unwrap();
        proofs.skip("c", "by looking", "it is dark");
        assert_eq!(proofs.count(), Count { passed: 1, failed: 1 });
    }
}
