//! The macOS part of a plan: the text of a Seatbelt profile. Pure, so that every host makes and
//! tests it; only `sys/macos` hands it to the kernel.
//!
//! Everything is denied, and then allowed by rules that carry their exceptions in themselves. No
//! rule depends on its place, so none can be shadowed, and the layers of a policy are joined with
//! `require-all`. What a person denied comes last, where it wins over everything.
//!
//! The language is documented by Apple's own profiles in `/System/Library/Sandbox/Profiles`. What
//! denies compares names in whatever case, since most macOS volumes fold it; what allows compares
//! exactly.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use codex_protocol::gate::{READABLE_DEVICES, WRITABLE_DEVICES};
use codex_protocol::policy::{Layer, Policy, Right};
use codex_protocol::protected;
use codex_protocol::secrets::PathPattern;
use codex_protocol::security_profile::SecurityProfile;

use crate::survey::Survey;

/// A path that no rule can name: it is not UTF-8, or holds a control character or NUL, of which
/// it is not known how the profile's compiler reads them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the path '{}' cannot be named in a Seatbelt profile: it is not UTF-8 or holds a control character; rename it, or leave it out",
    .0.escape_ascii()
)]
pub struct Unspeakable(pub Vec<u8>);

/// What is not the policy's, and differs from run to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Marks the run's messages in the system's log. Letters, digits and `-` only; anything else
    /// is left out.
    pub tag: String,
    /// The port of the egress proxy on the loopback interface, for a profile that reads hosts.
    pub proxy: Option<u16>,
}

/// What a rule speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Filter {
    /// A path and all below it.
    Tree(PathBuf),
    /// A path alone.
    Only(PathBuf),
    /// Paths that fit a regular expression (POSIX extended, matched anywhere in the path).
    Fits(String),
    /// The same, but for a tree.
    FitsBut(String, PathBuf),
}

/// A tree, or a file, and what of it is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    root: Filter,
    except: Vec<Filter>,
}

type Terms = Result<Vec<Term>, Unspeakable>;

impl Term {
    fn all(root: Filter) -> Self {
        Self {
            root,
            except: Vec::new(),
        }
    }
}

/// What every process needs to start at all. Names of calls, not of files of the user.
///
/// Which: Apple's `system.sb` and Chromium's `sandbox/policy/mac/common.sb` agree on these.
const BASE: &str = r#"(allow process-fork)
(allow signal (target same-sandbox))
(allow process-info* (target same-sandbox))
(allow sysctl-read
  (sysctl-name-prefix "hw.")
  (sysctl-name-prefix "machdep.cpu.")
  (sysctl-name "kern.argmax")
  (sysctl-name "kern.maxfilesperproc")
  (sysctl-name "kern.maxproc")
  (sysctl-name "kern.osproductversion")
  (sysctl-name "kern.osrelease")
  (sysctl-name "kern.ostype")
  (sysctl-name "kern.osvariant_status")
  (sysctl-name "kern.osversion")
  (sysctl-name "kern.usrstack64")
  (sysctl-name "kern.version")
  (sysctl-name "sysctl.proc_cputype")
  (sysctl-name "vm.loadavg"))
(allow mach-lookup
  (global-name "com.apple.system.notification_center")
  (global-name "com.apple.system.opendirectoryd.libinfo")
  (global-name "com.apple.system.opendirectoryd.membership"))
(allow file-read-metadata)
(allow file-read* file-write-data file-ioctl (literal "/dev/dtracehelper"))
"#;

/// Devices beyond the gate's list that programs cannot do without, and that hold nothing.
const DEVICES: &[&str] = &["/dev/autofs_nowait", "/dev/dtracehelper"];

/// Trees of system libraries, which the user cannot write, for Offline: code is loaded from
/// there, from listed programs, and from nowhere else.
const LIBRARIES: &[&str] = &[
    "/System",
    "/usr/lib",
    "/Library/Apple",
    "/Library/Developer",
];

/// The profile's text for a command under `policy`.
///
/// # Errors
/// When a path cannot be named. A rule is never left out for that: one that is missing among what
/// is denied would open it.
pub fn profile(policy: &Policy, survey: &Survey, run: &Run) -> Result<String, Unspeakable> {
    let confined: Vec<&Layer> = policy
        .layers()
        .filter(|l| l.profile != SecurityProfile::Trusted)
        .collect();
    let tag: String = run
        .tag
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .collect();
    let mut text = format!("(version 1)\n(deny default (with message \"{tag}\"))\n{BASE}");
    let mut allow = |operations: &str, terms: &dyn Fn(&Layer) -> Terms| {
        let sets: Vec<Vec<Term>> = confined
            .iter()
            .map(|layer| terms(layer))
            .collect::<Result<_, _>>()?;
        allow_in_all(&mut text, operations, &sets)
    };
    allow("file-read*", &|layer| reads(layer, survey))?;
    allow("file-write*", &writes)?;
    allow("process-exec*", &|layer| Ok(programs(layer)))?;
    allow("file-map-executable", &|layer| Ok(libraries(layer)))?;
    if confined
        .iter()
        .all(|l| l.profile != SecurityProfile::Offline)
    {
        allow("network-bind", &|layer| Ok(sockets(layer)))?;
        allow("network-outbound", &|layer| Ok(sockets(layer)))?;
        text.push_str("(allow system-socket (socket-domain AF_UNIX))\n");
    }
    if let Some(port) = run.proxy {
        let _ = writeln!(
            text,
            "(allow network-outbound (remote tcp \"localhost:{port}\"))\n(allow system-socket (socket-domain AF_INET))"
        );
    }
    for denied in policy.layers().flat_map(Layer::denied_reads) {
        let _ = writeln!(
            text,
            "(deny file-read* file-write* {} (with message \"{tag}\"))",
            filter(&Filter::Fits(anchored(denied)?))?
        );
    }
    Ok(text)
}

/// The profile with `tag` for what [`Run::tag`] was when it was made. No path can look like the
/// place of a tag, since quotes in paths are escaped.
#[must_use]
pub fn with_tag(profile: &str, made_with: &str, tag: &str) -> String {
    profile.replace(
        &format!("(with message \"{made_with}\")"),
        &format!("(with message \"{tag}\")"),
    )
}

/// A rule that lets these programs, and those of these trees, start and be loaded as code: the
/// listed ones, which every layer that has a list allows. They are looked for while the rest of
/// the profile is made ready, and the rule can stand at its end.
///
/// # Errors
/// As [`profile`].
pub fn listed(programs: &[PathBuf], trees: &[PathBuf]) -> Result<String, Unspeakable> {
    let programs = programs.iter().cloned().map(Filter::Only);
    let terms = programs.chain(trees.iter().cloned().map(Filter::Tree));
    let set: Vec<Term> = terms.map(Term::all).collect();
    let mut text = String::new();
    allow_in_all(&mut text, "process-exec* file-map-executable", &[set])?;
    Ok(text)
}

/// Writes a rule that allows what every set holds.
fn allow_in_all(
    text: &mut String,
    operations: &str,
    sets: &[Vec<Term>],
) -> Result<(), Unspeakable> {
    if sets.iter().any(Vec::is_empty) {
        // Nothing is in all of them; a rule without a filter would allow everything.
        return Ok(());
    }
    let sets = sets
        .iter()
        .map(|terms| {
            let terms: Vec<String> = terms.iter().map(term).collect::<Result<_, _>>()?;
            Ok(format!("(require-any\n    {})", terms.join("\n    ")))
        })
        .collect::<Result<Vec<_>, Unspeakable>>()?;
    match &sets[..] {
        [] => {}
        [set] => {
            let _ = writeln!(text, "(allow {operations}\n  {set})");
        }
        _ => {
            let _ = writeln!(
                text,
                "(allow {operations}\n  (require-all\n  {}))",
                sets.join("\n  ")
            );
        }
    }
    Ok(())
}

fn term(term: &Term) -> Result<String, Unspeakable> {
    let root = filter(&term.root)?;
    if term.except.is_empty() {
        return Ok(root);
    }
    let except: Vec<String> = term.except.iter().map(filter).collect::<Result<_, _>>()?;
    Ok(format!(
        "(require-all {root} (require-not (require-any\n      {})))",
        except.join("\n      ")
    ))
}

fn filter(filter: &Filter) -> Result<String, Unspeakable> {
    Ok(match filter {
        Filter::Tree(path) => format!("(subpath {})", quoted_path(path)?),
        Filter::Only(path) => format!("(literal {})", quoted_path(path)?),
        Filter::Fits(regex) => format!("(regex {})", quoted(regex)?),
        Filter::FitsBut(regex, but) => format!(
            "(require-all (regex {}) (require-not (subpath {})))",
            quoted(regex)?,
            quoted_path(but)?
        ),
    })
}

fn speakable(path: &Path) -> Result<&str, Unspeakable> {
    let bytes = || Unspeakable(path.as_os_str().as_encoded_bytes().to_vec());
    let text = path.to_str().ok_or_else(bytes)?;
    match text.chars().any(char::is_control) {
        true => Err(bytes()),
        false => Ok(text),
    }
}

fn quoted_path(path: &Path) -> Result<String, Unspeakable> {
    quoted(speakable(path)?)
}

/// A string as the profile's reader takes it: only `\` and `"` mean something in it.
fn quoted(text: &str) -> Result<String, Unspeakable> {
    if text.chars().any(char::is_control) {
        return Err(Unspeakable(text.as_bytes().to_vec()));
    }
    Ok(format!(
        "\"{}\"",
        text.replace('\\', "\\\\").replace('"', "\\\"")
    ))
}

/// A regular expression for `path` and all below it, in whatever case.
fn anchored(path: &Path) -> Result<String, Unspeakable> {
    Ok(format!("{}(/|$)", beginning(path)?))
}

/// The beginning of a regular expression for what lies below `path`, in whatever case. The system's
/// volume shows the user's under a second name, and `/etc`, `/tmp` and `/var` lead to `/private`.
fn beginning(path: &Path) -> Result<String, Unspeakable> {
    let text = speakable(path)?.trim_end_matches('/');
    Ok(format!(
        "^(/System/Volumes/Data)?(/private)?{}",
        spelled(text)
    ))
}

/// A regular expression that matches `text` as a volume that folds case does (Unicode
/// `CaseFolding.txt`, as far as it leads to ASCII); other letters compare exactly.
fn spelled(text: &str) -> String {
    /// Two letters that one character folds to.
    const JOINED: &[(&str, &str)] = &[
        ("ss", "\u{df}|\u{1e9e}"),
        ("ff", "\u{fb00}"),
        ("fi", "\u{fb01}"),
        ("fl", "\u{fb02}"),
        ("st", "\u{fb05}|\u{fb06}"),
    ];
    let mut regex = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let joined = rest.get(..2).and_then(|two| {
            let two = two.to_ascii_lowercase();
            JOINED.iter().find(|(letters, _)| *letters == two)
        });
        if let Some((letters, joined)) = joined {
            regex.push('(');
            letters.chars().for_each(|c| push_letter(&mut regex, c));
            let _ = write!(regex, "|{joined})");
            rest = &rest[2..];
            continue;
        }
        push_letter(&mut regex, c);
        rest = &rest[c.len_utf8()..];
    }
    regex
}

fn push_letter(regex: &mut String, c: char) {
    match c.to_ascii_lowercase() {
        's' => regex.push_str("([sS]|\u{17f})"),
        'k' => regex.push_str("([kK]|\u{212a})"),
        lower @ 'a'..='z' => {
            regex.extend(['[', lower, lower.to_ascii_uppercase(), ']']);
        }
        other => push_literal(regex, other),
    }
}

fn push_literal(regex: &mut String, c: char) {
    if r"\.[]{}()*+?^$|".contains(c) {
        regex.push('\\');
    }
    regex.push(c);
}

/// The filter for what a pattern names, and all below it.
fn secret(pattern: &PathPattern) -> Result<Filter, Unspeakable> {
    let parent = beginning(&pattern.parent)?;
    let name = pattern.name.split('*').map(spelled);
    let name = name.collect::<Vec<_>>().join("[^/]*");
    let regex = format!("{parent}/{name}(/|$)");
    Ok(match &pattern.except {
        Some(own) => Filter::FitsBut(regex, own.clone()),
        None => Filter::Fits(regex),
    })
}

/// What of `root` stays closed although `root` is given.
fn closed(root: &Path, secrets: &[PathPattern]) -> Result<Vec<Filter>, Unspeakable> {
    let inside = |p: &&PathPattern| p.parent.starts_with(root) && !p.matches(root);
    secrets.iter().filter(inside).map(secret).collect()
}

fn reads(layer: &Layer, survey: &Survey) -> Terms {
    let env_files = survey
        .env_files
        .iter()
        .filter_map(|f| PathPattern::exactly(f));
    let secrets: Vec<PathPattern> = layer.secrets().iter().cloned().chain(env_files).collect();
    let whole = Path::new("/");
    let mut except = closed(whole, &secrets)?;
    except.push(Filter::Tree("/dev".into()));
    let mut terms = vec![Term {
        root: Filter::Tree(whole.to_owned()),
        except,
    }];
    let devices = READABLE_DEVICES.iter().chain(DEVICES);
    terms.extend(devices.map(|d| Term::all(Filter::Only(d.into()))));
    // Inherited streams are opened again by these names.
    terms.push(Term::all(Filter::Tree("/dev/fd".into())));
    for granted in layer.granted_reads() {
        terms.push(Term {
            root: Filter::Tree(granted.to_owned()),
            except: closed(granted, &secrets)?,
        });
    }
    Ok(terms)
}

fn writes(layer: &Layer) -> Terms {
    let devices = WRITABLE_DEVICES.iter().map(|d| Filter::Only(d.into()));
    let mut terms: Vec<Term> = devices.map(Term::all).collect();
    for root in layer.write_roots() {
        let mut except = closed(root, layer.secrets())?;
        except.extend(protected_below(root)?.into_iter().map(Filter::Fits));
        terms.push(Term {
            root: Filter::Tree(root.to_owned()),
            except,
        });
    }
    Ok(terms)
}

/// Regular expressions for what is protected below `root`, whether or not it exists.
///
/// Seatbelt cannot tell making a directory from moving a filled one to its name, so the
/// directories that lead to protected files may be neither made nor removed: without that, one
/// prepared under a harmless name could be put in their place. `.git` itself is one of them.
fn protected_below(root: &Path) -> Result<Vec<String>, Unspeakable> {
    let anywhere = format!("{}/(.*/)?", beginning(root)?);
    let mut found = Vec::new();
    for (name, _) in protected::NAMES {
        found.push(format!("{anywhere}{}(/|$)", spelled(name)));
    }
    for (folder, name, _) in protected::PAIRS {
        let folder = spelled(folder);
        found.push(format!("{anywhere}{folder}(/{})?$", spelled(name)));
    }
    let git = spelled(".git");
    // A submodule's name may itself hold slashes, so its directory can start anywhere.
    let inner = format!(
        "({}/.+/|{}/[^/]+/)?",
        spelled("modules"),
        spelled("worktrees")
    );
    for (path, _) in protected::IN_GIT_DIRECTORY {
        found.push(format!("{anywhere}{git}/{inner}{}(/|$)", spelled(path)));
    }
    let leading = ["info", "modules", "worktrees"].map(spelled).join("|");
    found.push(format!("{anywhere}{git}(/({leading}))?$"));
    Ok(found)
}

/// The programs that a layer lets start, its list aside: see [`listed`].
fn programs(layer: &Layer) -> Vec<Term> {
    if layer.profile != SecurityProfile::Offline {
        return vec![Term::all(Filter::Tree("/".into()))];
    }
    let granted = layer.grants.iter().filter_map(|g| match &g.right {
        Right::Exec(path) => Some(Filter::Only(path.clone())),
        Right::ExecTree(path) => Some(Filter::Tree(path.clone())),
        _ => None,
    });
    granted.map(Term::all).collect()
}

/// From where a layer lets code be loaded.
fn libraries(layer: &Layer) -> Vec<Term> {
    let mut terms = programs(layer);
    if layer.profile == SecurityProfile::Offline {
        let trees = LIBRARIES.iter().map(|l| Filter::Tree(l.into()));
        terms.extend(trees.map(Term::all));
    }
    terms
}

/// Where unix sockets may be made and reached.
fn sockets(layer: &Layer) -> Vec<Term> {
    let trees = layer
        .write_roots()
        .map(|root| Filter::Tree(root.to_owned()));
    trees.map(Term::all).collect()
}
