//! What a run may do: the profile that was chosen, narrowed by the project's files and by the
//! managed one.
//!
//! Whoever is nearer to the run chooses: a flag before the environment, before a session, before
//! the person's file. A project's files narrow what the person's file (or nothing) chose, each of
//! them on its own, so that a file deeper in a project cannot take back what one further out
//! asked for; what a flag, `-c` or the session chose is the person's answer to them. The managed
//! file narrows everything, and neither of the two ever widens.

use std::collections::BTreeMap;
use std::path::PathBuf;

use codex_protocol::secrets::PathPattern;
use codex_protocol::security_profile::SecurityProfile;

use super::origin::{ConfigError, Origin};
use super::profiles::{Rank, Sources, below_profile, bound_of, profile_of, text, word};
use super::text::{dotted, excerpt};
use super::tree::{Layer, Setting};
use super::value::Value;
use super::warning::Warnings;
use super::words::{ApprovalPolicy, AuditDetail, AuditReads};

/// What the gate and the sandbox need to know. Paths are absolute, but not resolved.
#[derive(Clone, PartialEq)]
pub(crate) struct Rights {
    /// The built-in profile in force.
    pub(crate) profile: SecurityProfile,
    /// The named profile in force. Beside a managed bound its grants may not be.
    pub(crate) name: Option<String>,
    /// What the managed file allows at most. Grants from elsewhere, flags among them, do not reach
    /// beyond it: a policy has it as its outermost layer.
    pub(crate) bound: Option<SecurityProfile>,
    /// Readable although they are secrets.
    pub(crate) allow_read: Vec<PathBuf>,
    /// Writable.
    pub(crate) allow_write: Vec<PathBuf>,
    /// Writable as `sandbox_workspace_write.writable_roots`.
    pub(crate) writable_roots: Vec<PathBuf>,
    /// Programs that may start: paths, or names looked up in PATH.
    pub(crate) allow_exec: Vec<String>,
    /// Hosts that may be read through the proxy.
    pub(crate) allow_host: Vec<String>,
    /// Hosts that a person allowed for good when they were asked.
    pub(crate) approved_hosts: Vec<String>,
    /// Presets of hosts that may be read through the proxy.
    pub(crate) allow_preset: Vec<String>,
    /// Hosts that may be reached by a tunnel through the proxy.
    pub(crate) allow_tunnel: Vec<String>,
    /// Hosts whose names may lead to private addresses.
    pub(crate) allow_private_host: Vec<String>,
    /// Named reads that may use POST.
    pub(crate) allow_post: Vec<String>,
    /// Whether WorkspaceWrite may read the hosts of NetReadOnly.
    pub(crate) network_reads: bool,
    /// Patterns of variables that commands get.
    pub(crate) pass_env: Vec<String>,
    /// Not readable, whatever is granted.
    pub(crate) deny_read: Vec<PathBuf>,
    /// Not reachable, whatever is granted.
    pub(crate) deny_host: Vec<String>,
    /// Secrets beside the built-in ones.
    pub(crate) secrets: Vec<PathPattern>,
}

/// Every setting that can be tightened, tightened.
pub(super) struct Tightened {
    pub(super) rights: Rights,
    pub(super) approval_policy: ApprovalPolicy,
    pub(super) audit_detail: AuditDetail,
    pub(super) audit_reads: Option<AuditReads>,
}

impl Sources {
    /// Chooses and narrows. `name` is the named profile that [`select`](Self::select) put in
    /// place.
    pub(super) fn tighten(
        &self,
        name: Option<String>,
        default_approval: ApprovalPolicy,
        origins: &mut BTreeMap<String, Origin>,
        warnings: &mut Warnings,
    ) -> Result<Tightened, ConfigError> {
        let base = self.choose(profile_of, SecurityProfile::default());
        let mut profile = base.clone();
        let narrow = SecurityProfile::narrow;
        self.narrow_by_projects("profile", &mut profile, bound_of, narrow, warnings);
        let bound = self.bound()?;
        if let Some((bound, origin)) = &bound {
            profile.narrow(*bound, origin, narrow);
        }
        let bound = bound.map(|(bound, _)| bound);
        let rights = self.rights(name, base.value, profile.value, bound, origins, warnings);
        origins.insert("profile".to_owned(), profile.origin);

        // Between untrusted and never there is no order: the person's own choice stays as it is
        // beside a project's, and gives way to the managed one.
        let mut approval = self.choose(approval_of, default_approval);
        let asked = |current: ApprovalPolicy, by: ApprovalPolicy| {
            if by.within(current) { by } else { current }
        };
        let ordered = |current: ApprovalPolicy, by: ApprovalPolicy| {
            if current.within(by) { current } else { by }
        };
        let key = "approval_policy";
        self.narrow_by_projects(key, &mut approval, approval_of, asked, warnings);
        if let Some((by, origin)) = approval_of(&self.managed) {
            approval.narrow(by, &origin, ordered);
        }
        origins.insert(key.to_owned(), approval.origin);

        let key = "audit.detail";
        let mut detail = self.choose(detail_of, AuditDetail::Normal);
        self.narrow_by_projects(key, &mut detail, detail_of, AuditDetail::max, warnings);
        if let Some((by, origin)) = detail_of(&self.managed) {
            detail.narrow(by, &origin, AuditDetail::max);
        }
        origins.insert(key.to_owned(), detail.origin);

        // What the profile's own default is, is not known here; only `denied` is never less.
        let key = "audit.reads";
        let mut reads = self.choose(reads_of, None);
        let more = |current, by| {
            if by == Some(AuditReads::Denied) {
                by
            } else {
                current
            }
        };
        self.narrow_by_projects(key, &mut reads, reads_of, more, warnings);
        if let Some((by, origin)) = reads_of(&self.managed) {
            reads.narrow(by, &origin, more);
        }
        origins.insert(key.to_owned(), reads.origin);

        Ok(Tightened {
            rights,
            approval_policy: approval.value,
            audit_detail: detail.value,
            audit_reads: reads.value,
        })
    }

    /// What the nearest layer says that says anything.
    fn choose<T>(&self, read: impl Fn(&Layer) -> Option<(T, Origin)>, default: T) -> Chosen<T> {
        let nearest = self.stack.iter().rev().find_map(|(rank, layer)| {
            read(layer).map(|(value, origin)| Chosen {
                value,
                origin,
                rank: *rank,
            })
        });
        nearest.unwrap_or(Chosen {
            value: default,
            origin: Origin::Default,
            rank: Rank::Default,
        })
    }

    /// Lets each of the project's files narrow what was chosen, unless that was chosen for this
    /// run or session.
    fn narrow_by_projects<T: Copy + PartialEq + Named>(
        &self,
        key: &str,
        chosen: &mut Chosen<T>,
        read: impl Fn(&Layer) -> Option<(T, Origin)>,
        narrow: impl Fn(T, T) -> T,
        warnings: &mut Warnings,
    ) {
        for (by, origin) in self.projects.iter().filter_map(read) {
            let at = origin.whereabouts();
            let asks = by.named();
            if chosen.rank > Rank::User {
                if narrow(chosen.value, by) != chosen.value {
                    let (has, whose) = (chosen.value.named(), &chosen.origin);
                    warnings.say(format!(
                        "{at}: the project asks for '{key}' {asks}, but {has} was chosen ({whose})"
                    ));
                }
                continue;
            }
            chosen.narrow(by, &origin, &narrow);
            if chosen.value != by {
                let stays = chosen.value.named();
                warnings.say(format!(
                    "{at}: the project asks for '{key}' {asks}; it can only tighten, so it is {stays}"
                ));
            }
        }
    }

    /// What the managed file allows at most.
    fn bound(&self) -> Result<Option<(SecurityProfile, Origin)>, ConfigError> {
        let mut bound = bound_of(&self.managed);
        if let Some((name, origin)) = self.managed.get(&["profile"]).and_then(text)
            && name.parse::<SecurityProfile>().is_err()
        {
            let named = Layer {
                settings: self
                    .managed
                    .settings
                    .iter()
                    .filter_map(|setting| {
                        let path = below_profile(&setting.path, &name)?.to_vec();
                        Some(Setting {
                            path,
                            ..setting.clone()
                        })
                    })
                    .collect(),
                named: Vec::new(),
            };
            let Some((profile, _)) = profile_of(&named) else {
                let what = format!(
                    "'profile' is {}, which this file gives no 'extends'; name a built-in profile",
                    excerpt(&name)
                );
                return Err(ConfigError::about(&origin, what));
            };
            bound = Some(match bound {
                Some((other, _)) => (profile.narrow(other), origin),
                None => (profile, origin),
            });
        }
        Ok(bound)
    }

    fn rights(
        &self,
        name: Option<String>,
        base: SecurityProfile,
        profile: SecurityProfile,
        bound: Option<SecurityProfile>,
        origins: &mut BTreeMap<String, Origin>,
        warnings: &mut Warnings,
    ) -> Rights {
        let named = name
            .as_ref()
            .and_then(|name| self.named(name))
            .unwrap_or_default();
        let own = profile_of(&named).map_or(base, |(own, _)| own);
        let mut grants = Grants {
            named: &named,
            in_force: own == profile && base == profile,
            // Grants of the managed file are within its bound by its own word.
            managed_only: bound.is_some_and(|bound| bound != SecurityProfile::Trusted),
            dropped: Vec::new(),
            origins,
            prefix: name
                .as_deref()
                .map(|name| ["profiles".to_owned(), name.to_owned()]),
        };
        let mut rights = Rights {
            profile,
            bound,
            allow_read: grants.paths("allow_read"),
            allow_write: grants.paths("allow_write"),
            allow_exec: grants.texts("allow_exec"),
            allow_host: grants.texts("allow_host"),
            approved_hosts: Vec::new(),
            allow_preset: grants.texts("allow_preset"),
            allow_tunnel: grants.texts("allow_tunnel"),
            allow_private_host: grants.texts("allow_private_host"),
            allow_post: grants.texts("allow_post"),
            pass_env: grants.texts("pass_env"),
            name: name.filter(|_| grants.in_force),
            writable_roots: Vec::new(),
            network_reads: false,
            deny_read: Vec::new(),
            deny_host: Vec::new(),
            secrets: Vec::new(),
        };
        grants.in_force = profile == SecurityProfile::WorkspaceWrite;
        let key = "writable_roots";
        if let Some(setting) = self.workspace_write(key)
            && let Value::Paths(roots) = &setting.value
            && grants.holds(key, setting)
        {
            rights.writable_roots.clone_from(roots);
        }
        let key = "network_access";
        if let Some(setting) = self.workspace_write(key)
            && setting.value == Value::Switch(true)
            && grants.holds(key, setting)
        {
            rights.network_reads = true;
            warnings.say(format!(
                "{}: 'sandbox_workspace_write.network_access' gives GET, HEAD and OPTIONS to the hosts of NetReadOnly and no more; --allow-host HOST adds a host, --profile trusted lifts every limit",
                setting.origin.whereabouts()
            ));
        }
        // Nobody is asked about hosts under other profiles, so there it says nothing.
        if profile == SecurityProfile::NetReadOnly {
            grants.in_force = true;
            let key = "approved_hosts";
            if let Some(setting) = self.nearest(&[key])
                && let Value::Texts(hosts) = &setting.value
                && grants.holds(key, setting)
            {
                rights.approved_hosts.clone_from(hosts);
            }
        }
        let dropped = grants.dropped;
        if !dropped.is_empty() {
            warnings.say(format!(
                "not granted, as the profile in force is {} {}: {}",
                profile.flag(),
                if bound.is_some() {
                    "within the managed limit"
                } else {
                    "instead"
                },
                dropped.join(", ")
            ));
        }
        for (setting, at) in self.everywhere("deny_read") {
            if let Value::Paths(paths) = &setting.value {
                for path in paths {
                    if !rights.deny_read.contains(path) {
                        origins
                            .insert(format!("deny_read[{}]", rights.deny_read.len()), at.clone());
                        rights.deny_read.push(path.clone());
                    }
                }
            }
        }
        for (setting, at) in self.everywhere("deny_host") {
            if let Value::Texts(hosts) = &setting.value {
                for host in hosts {
                    if !rights.deny_host.contains(host) {
                        origins
                            .insert(format!("deny_host[{}]", rights.deny_host.len()), at.clone());
                        rights.deny_host.push(host.clone());
                    }
                }
            }
        }
        for (setting, at) in self.everywhere("secrets") {
            if let Value::Patterns(patterns) = &setting.value {
                for pattern in patterns {
                    if !rights.secrets.contains(pattern) {
                        origins.insert(format!("secrets[{}]", rights.secrets.len()), at.clone());
                        rights.secrets.push(pattern.clone());
                    }
                }
            }
        }
        rights
    }

    /// The nearest word on WorkspaceWrite's own settings; a project has none.
    fn workspace_write(&self, key: &str) -> Option<&Setting> {
        self.nearest(&["sandbox_workspace_write", key])
    }

    /// The nearest word on a setting that no project has a word on.
    fn nearest(&self, path: &[&str]) -> Option<&Setting> {
        let mut layers = self.stack.iter().rev().map(|(_, layer)| layer);
        layers
            .find_map(|layer| layer.get(path))
            .or_else(|| self.managed.get(path))
    }

    /// Every layer's word on a list that each of them adds to.
    fn everywhere<'s>(&'s self, key: &'s str) -> impl Iterator<Item = (&'s Setting, &'s Origin)> {
        let person = self.stack.iter().map(|(_, layer)| layer);
        let layers = std::iter::once(&self.managed)
            .chain(person)
            .chain(&self.projects);
        layers
            .flat_map(|layer| &layer.settings)
            .filter(move |setting| setting.path == [key])
            .map(|setting| (setting, &setting.origin))
    }
}

/// A value, and how it came to be.
#[derive(Clone)]
struct Chosen<T> {
    value: T,
    origin: Origin,
    rank: Rank,
}

impl<T: Copy + PartialEq> Chosen<T> {
    fn narrow(&mut self, by: T, origin: &Origin, narrow: impl Fn(T, T) -> T) {
        let value = narrow(self.value, by);
        if value != self.value {
            self.value = value;
            self.origin = origin.clone();
        }
    }
}

/// What a person calls a value.
trait Named {
    fn named(self) -> &'static str;
}

impl Named for SecurityProfile {
    fn named(self) -> &'static str {
        self.flag()
    }
}

impl Named for ApprovalPolicy {
    fn named(self) -> &'static str {
        self.word()
    }
}

impl Named for AuditDetail {
    fn named(self) -> &'static str {
        self.word()
    }
}

impl Named for Option<AuditReads> {
    fn named(self) -> &'static str {
        self.map_or("the profile's own", AuditReads::word)
    }
}

/// The grants of a named profile, of which some may not be in force.
struct Grants<'a> {
    named: &'a Layer,
    in_force: bool,
    managed_only: bool,
    /// Keys whose grants are not in force.
    dropped: Vec<&'static str>,
    origins: &'a mut BTreeMap<String, Origin>,
    prefix: Option<[String; 2]>,
}

impl Grants<'_> {
    fn holds(&mut self, key: &'static str, setting: &Setting) -> bool {
        let managed = matches!(setting.origin, Origin::Managed(_));
        let holds = self.in_force && (managed || !self.managed_only);
        // WorkspaceWrite's settings say nothing about other profiles.
        let matters = self.in_force || setting.path.len() == 1;
        if !holds && matters {
            self.dropped.push(key);
        }
        holds
    }

    fn granted(&mut self, key: &'static str) -> Option<&Value> {
        let setting = self.named.get(&[key])?;
        if !self.holds(key, setting) {
            return None;
        }
        if let Some([first, name]) = &self.prefix {
            let dotted = dotted([first.as_str(), name.as_str(), key]);
            self.origins.insert(dotted, setting.origin.clone());
        }
        Some(&setting.value)
    }

    fn paths(&mut self, key: &'static str) -> Vec<PathBuf> {
        match self.granted(key) {
            Some(Value::Paths(paths)) => paths.clone(),
            _ => Vec::new(),
        }
    }

    fn texts(&mut self, key: &'static str) -> Vec<String> {
        match self.granted(key) {
            Some(Value::Texts(texts)) => texts.clone(),
            _ => Vec::new(),
        }
    }
}

fn approval_of(layer: &Layer) -> Option<(ApprovalPolicy, Origin)> {
    word(layer, &["approval_policy"], ApprovalPolicy::from_word)
}

fn detail_of(layer: &Layer) -> Option<(AuditDetail, Origin)> {
    word(layer, &["audit", "detail"], AuditDetail::from_word)
}

fn reads_of(layer: &Layer) -> Option<(Option<AuditReads>, Origin)> {
    word(layer, &["audit", "reads"], |word| {
        AuditReads::from_word(word).map(Some)
    })
}
