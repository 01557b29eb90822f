//! What this machine enforces of a profile, in full: `codex doctor` prints it. Pure.
//!
//! Whether a profile runs is asked of [`plan`](crate::plan::plan) itself, so that the answer
//! cannot differ from what a run would get.

use codex_protocol::policy::Policy;
use codex_protocol::security_profile::SecurityProfile;
use serde::Serialize;

use crate::capability::Capabilities;
use crate::measure::{self, MEASURES, Platform};
use crate::plan::{self, CannotEnforce, Limits, Terminal, Wishes};
use crate::report::{self, Level, Missing, Report};
use crate::survey::Survey;

/// One thing that a profile wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What is wanted.
    pub wanted: &'static str,
    /// What enforces it, or would.
    pub by: &'static str,
    /// Whether it does on this machine.
    pub enforced: bool,
    /// What commands can do because it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consequence: Option<&'static str>,
    /// What to do about that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<&'static str>,
}

/// What this machine makes of a profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Examination {
    /// The profile.
    pub profile: SecurityProfile,
    /// How much of it is enforced.
    pub level: Level,
    /// How much has to be: what the profile requires, or the person accepts.
    pub required: Level,
    /// Why it does not run; `None` where it does.
    pub refused: Option<String>,
    /// What it wants, one by one. Nothing for the Trusted profile, which confines nothing.
    pub findings: Vec<Finding>,
}

/// Examines the profile of `policy` on a machine with these capabilities.
#[must_use]
pub fn examine(
    policy: &Policy,
    capabilities: Capabilities,
    survey: &Survey,
    accept: Option<Level>,
) -> Examination {
    let profile = policy.profile();
    let wishes = Wishes {
        environment: Vec::new(),
        set: Vec::new(),
        limits: Limits::default(),
        terminal: Terminal::None,
        accept,
        audit_reads: false,
        shared_memory: None,
        // A run that reaches hosts starts one before its first command.
        proxy: Some(std::net::SocketAddr::from(([127, 0, 0, 1], 0))),
    };
    let (Report { level, missing }, refused) =
        match plan::plan(policy, capabilities, survey, wishes) {
            Ok((_, report)) => (report, None),
            Err(error) => {
                let report = match &error {
                    CannotEnforce::Level { level, missing, .. } => Report {
                        level: *level,
                        missing: missing.clone(),
                    },
                    _ => report::assess(profile, capabilities),
                };
                (report, Some(error.to_string()))
            }
        };
    let required = match profile {
        // It confines nothing, so there is nothing to require.
        SecurityProfile::Trusted => Level::Minimum,
        _ => accept.map_or(report::REQUIRED, |a| a.min(report::REQUIRED)),
    };
    Examination {
        profile,
        level,
        required,
        refused,
        findings: findings(profile, capabilities.platform, &missing),
    }
}

/// What the profile wants here, with what of it is missing.
fn findings(profile: SecurityProfile, platform: Platform, missing: &[Missing]) -> Vec<Finding> {
    let wanted = MEASURES
        .iter()
        .filter(|m| m.platform == platform && m.profiles.contains(&profile));
    let missing = |feature: &str| missing.iter().find(|m| m.feature == feature);
    wanted
        .map(|measure| {
            let through = measure.through.and_then(missing);
            let lack = missing(measure.feature).or(through);
            let remedy = lack.and_then(|m| measure::find(platform, m.feature));
            Finding {
                wanted: measure.wanted,
                by: measure.feature,
                enforced: lack.is_none(),
                consequence: lack.map(|m| m.consequence),
                remedy: remedy.map(|m| m.remedy),
            }
        })
        .collect()
}
