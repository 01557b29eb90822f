//! The machine on which the tests take place.

use codex_protocol::policy::{Grant, GrantSource, Layer, Places, Policy, Right};
use codex_protocol::security_profile::SecurityProfile;

pub(crate) fn places() -> Places {
    Places {
        workspace: "/srv/p".into(),
        added: vec!["/srv/more".into()],
        home: Some("/home/ada".into()),
        codex_home: "/home/ada/.codex".into(),
        listed_programs: vec!["/usr/bin/git".into(), "/usr/bin/ls".into()],
        listed_trees: vec!["/usr/lib/git-core".into()],
    }
}

pub(crate) fn layer(profile: SecurityProfile, grants: Vec<Grant>) -> Layer {
    let mut layer = Layer::new(profile, places());
    layer.grants = grants;
    layer
}

pub(crate) fn policy(profile: SecurityProfile, grants: Vec<Grant>) -> Policy {
    Policy::new(layer(profile, grants))
}

pub(crate) fn typed(right: Right) -> Grant {
    Grant {
        right,
        source: GrantSource::CommandLine,
    }
}
