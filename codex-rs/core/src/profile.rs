//! Changing the profile of a session between its turns, and back.

use codex_protocol::event::ItemDetails;
use codex_protocol::operation::{Evidence, Operation, Outcome};
use codex_protocol::permission::Permissions;
use codex_protocol::profile_change::{NotChanged, ProfileChange, Until};
use codex_protocol::record::{Entry, Receipt, RecordError};
use codex_sandbox::plan::{Limits, Terminal};
use serde_json::json;

use crate::command::Workbench;
use crate::instructions;
use crate::places;
use crate::session::Session;

/// The longest name of a front end that is recorded, in characters.
const LONGEST_NAME: usize = 64;

/// What a turn began under that was chosen for it alone, and what holds after it.
pub(crate) struct ForOneTurn {
    before: Permissions,
    front_end: String,
}

impl Session {
    /// Takes a person's change of the profile: the turns that follow have the other rights, for one
    /// turn or for the session. Commands that go on between calls keep what they were started with.
    /// Recorded either way, with who, what and until when; shown to the front end.
    ///
    /// `workbench` is what the session's commands are run by: a profile that it cannot enforce is
    /// not taken.
    ///
    /// # Errors
    /// [`NotChanged`] says why the profile stays as it is.
    pub fn change_profile(
        &mut self,
        change: &ProfileChange,
        workbench: &Workbench,
    ) -> Result<(), NotChanged> {
        let front_end = name(&change.front_end);
        let begun = self.permissions().clone();
        let (permissions, refusal) = match self.permissions_after(change, workbench) {
            Ok(permissions) => (permissions, None),
            Err(why) => (begun.clone(), Some(why)),
        };
        let (rule, outcome) = match &refusal {
            None => ("profile.chosen", Outcome::Allowed),
            Some(NotChanged::Beyond { .. }) => ("profile.bound", Outcome::Denied),
            Some(_) => ("profile.level", Outcome::Denied),
        };
        let until = change.until.as_str();
        let stands = permissions.policy().profile();
        let reason = match &refusal {
            None => format!("{stands} profile: chosen by the person in {front_end}, until {until}"),
            Some(why) => format!("{stands} profile: {why}"),
        };
        record(
            &permissions,
            Change {
                target: format!("profile {}", change.profile),
                outcome,
                rule,
                reason,
                from: begun.policy().profile().name(),
                by: &front_end,
                until,
            },
        )?;
        if let Some(why) = refusal {
            return Err(why);
        }
        let before = self.for_one_turn.take().map(|earlier| earlier.before);
        if change.until == Until::EndOfTurn {
            let before = before.unwrap_or(begun);
            self.for_one_turn = Some(ForOneTurn { before, front_end });
        }
        self.go_on_under(permissions);
        Ok(())
    }

    fn permissions_after(
        &self,
        change: &ProfileChange,
        workbench: &Workbench,
    ) -> Result<Permissions, NotChanged> {
        let permissions = self.permissions();
        let stays = permissions.policy().profile();
        if self.parts.tools.iter().any(|tool| tool.keeps_rights()) {
            return Err(NotChanged::HeldElsewhere {
                wanted: change.profile,
                stays,
            });
        }
        let mut policy = change.apply(permissions.policy())?;
        places::list_programs(&mut policy);
        let planned = workbench.plan(&policy, Terminal::None, Limits::default());
        planned.map_err(|error| NotChanged::CannotEnforce {
            stays,
            why: error.to_string(),
        })?;
        Ok(permissions.changed_to(policy))
    }

    /// Puts back what held before a turn that had a profile of its own.
    pub(crate) fn end_of_turn(&mut self) -> Result<(), RecordError> {
        let Some(ForOneTurn { before, front_end }) = self.for_one_turn.take() else {
            return Ok(());
        };
        let from = self.permissions().policy().profile();
        let profile = before.policy().profile();
        self.go_on_under(before);
        record(
            self.permissions(),
            Change {
                target: format!("profile {profile}"),
                outcome: Outcome::Allowed,
                rule: "profile.ended",
                reason: format!("{profile} profile: {from} was chosen for one turn"),
                from: from.name(),
                by: &front_end,
                until: Until::EndOfSession.as_str(),
            },
        )
    }

    fn go_on_under(&mut self, permissions: Permissions) {
        // The model's instructions stay as they are, so that the provider's cache keeps its hits.
        let text = format!(
            "The user changed the profile of this session. It is now {}. {}",
            permissions.policy().profile(),
            instructions::rights(permissions.policy().profile())
        );
        self.parts.permissions = permissions;
        self.note = Some(text);
    }

    fn permissions(&self) -> &Permissions {
        &self.parts.permissions
    }
}

/// What is recorded of a change.
struct Change<'a> {
    target: String,
    outcome: Outcome,
    rule: &'static str,
    reason: String,
    from: &'static str,
    by: &'a str,
    until: &'static str,
}

fn record(permissions: &Permissions, change: Change<'_>) -> Result<(), RecordError> {
    let entry = Entry {
        subject: permissions.subject().clone(),
        operation: Operation::ProfileChange,
        target: change.target,
        outcome: change.outcome,
        reason: change.reason,
        rule: change.rule.to_owned(),
        evidence: Evidence::Declared,
        pid: None,
        exe: None,
        count: None,
        detail: Some(json!({ "from": change.from, "by": change.by, "until": change.until })),
    };
    let Receipt { seq } = permissions.recorder().append(&entry)?;
    let items = permissions.items();
    let shown = ItemDetails::PolicyDecision {
        operation: entry.operation.to_string(),
        target: entry.target,
        decision: entry.outcome.to_string(),
        reason: permissions.recorder().mask(&entry.reason),
        rule: entry.rule,
        evidence: entry.evidence.to_string(),
        audit_seq: seq,
    };
    items.completed(items.new_id(), shown);
    Ok(())
}

/// The front end's name for the log.
fn name(front_end: &str) -> String {
    let plain = front_end.chars().filter(|c| !c.is_control());
    let name: String = plain.take(LONGEST_NAME).collect();
    match name.is_empty() {
        true => "a front end without a name".to_owned(),
        false => name,
    }
}
