//! Comparing names: against patterns in which `*` stands for any run of characters, and against
//! each other as the most forgiving file system would.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::path::{Components, Path};

/// Whether `name` fits `pattern`. `*` matches any run of bytes, also none; every other byte
/// matches itself. ASCII letters match in either case when `ignore_case` is set.
///
/// Linear in the common case and never worse than `pattern.len() * name.len()`: a star that
/// fails is retried only from the latest star, never from an earlier one.
#[must_use]
pub fn matches(pattern: &str, name: &str, ignore_case: bool) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let same = |a: u8, b: u8| a == b || (ignore_case && a.eq_ignore_ascii_case(&b));
    let (mut p, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, n));
                p += 1;
            }
            Some(&c) if same(c, name[n]) => {
                p += 1;
                n += 1;
            }
            _ => match retry {
                Some((after_star, from)) => {
                    p = after_star;
                    n = from + 1;
                    retry = Some((after_star, n));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

/// `name` in the form under which some file system would take it for another name, ASCII case
/// aside; the name itself where there is no such form.
///
/// Rules that forbid compare folded names, so that no spelling gets round them; rules that allow
/// compare the names as they are. Folded are: letters that fold to ASCII ones (Unicode
/// `CaseFolding.txt`, as ext4 and APFS apply it), characters that HFS+ and ext4 skip, and the
/// trailing dots, spaces and `:stream` that Windows drops. Short names are not: see
/// [`is_short_for`]. Unicode normalization is not: resolving a path gives the name on disk.
#[must_use]
pub fn fold(name: &str) -> Cow<'_, str> {
    let mut folded = if name.is_ascii() {
        Cow::Borrowed(name)
    } else {
        let mut text = String::with_capacity(name.len());
        for c in name.chars().filter(|&c| !is_invisible(c)) {
            match c {
                '\u{17f}' => text.push('s'),
                '\u{212a}' => text.push('k'),
                '\u{df}' | '\u{1e9e}' => text.push_str("ss"),
                '\u{fb00}' => text.push_str("ff"),
                '\u{fb01}' => text.push_str("fi"),
                '\u{fb02}' => text.push_str("fl"),
                '\u{fb03}' => text.push_str("ffi"),
                '\u{fb04}' => text.push_str("ffl"),
                '\u{fb05}' | '\u{fb06}' => text.push_str("st"),
                c => text.extend(c.to_lowercase()),
            }
        }
        Cow::Owned(text)
    };
    let kept = folded.split(':').next().unwrap_or_default();
    let kept = kept.trim_end_matches(['.', ' ']).len();
    if kept < folded.len() {
        match &mut folded {
            Cow::Borrowed(text) => *text = &text[..kept],
            Cow::Owned(text) => text.truncate(kept),
        }
    }
    folded
}

/// Whether `c` shows as nothing, or turns the text around it: Unicode's default ignorable code
/// points and line separators.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Whether `name` could be the short name by which Windows also knows `wanted`: `GIT~1` for `.git`,
/// `MCP~1.JSO` for `.mcp.json`. From the fifth of its kind on, two letters of the name and four
/// hexadecimal digits stand before the `~` ("Naming Files, Paths, and Namespaces", and
/// `RtlGenerate8dot3Name`).
#[must_use]
pub fn is_short_for(name: &str, wanted: &str) -> bool {
    let Some((prefix, rest)) = name.split_once('~') else {
        return false;
    };
    let (number, ending) = rest.split_once('.').unwrap_or((rest, ""));
    if number.is_empty() || number.len() > 6 || !number.bytes().all(|b| b.is_ascii_digit()) {
        return false;
    }
    let (base, wanted_ending) = match wanted.trim_start_matches('.').rsplit_once('.') {
        Some(parts) => parts,
        None => (wanted.trim_start_matches('.'), ""),
    };
    let has_short_form =
        wanted.starts_with('.') || base.len() > 8 || base.contains('.') || wanted_ending.len() > 3;
    let first = |text: &str, most: usize| -> String {
        let kept = text.chars().filter(|c| !". ".contains(*c));
        kept.take(most).collect()
    };
    if !has_short_form || !ending.eq_ignore_ascii_case(&first(wanted_ending, 3)) {
        return false;
    }
    let counted = first(base, 7 - number.len());
    let hashed = || {
        prefix
            .get(..2)
            .is_some_and(|two| two.eq_ignore_ascii_case(&first(base, 2)))
            && prefix.len() == 6
            && prefix[2..].bytes().all(|b| b.is_ascii_hexdigit())
    };
    prefix.eq_ignore_ascii_case(&counted) || hashed()
}

/// Whether some file system would take one name for the other.
#[must_use]
pub fn same_name(a: &OsStr, b: &OsStr) -> bool {
    let (x, y) = (a.as_encoded_bytes(), b.as_encoded_bytes());
    if x.eq_ignore_ascii_case(y) {
        return true;
    }
    let unfolded = |n: &[u8]| {
        n.is_ascii() && !n.contains(&b':') && !matches!(n.last(), Some(b'.' | b' ') | None)
    };
    if unfolded(x) && unfolded(y) {
        return false;
    }
    fold(&a.to_string_lossy()).eq_ignore_ascii_case(&fold(&b.to_string_lossy()))
}

/// What is left of `path` below `parent`, with every name compared by [`same_name`]; `None` where
/// it does not lie there.
#[must_use]
pub fn below<'p>(path: &'p Path, parent: &Path) -> Option<Components<'p>> {
    let mut rest = path.components();
    parent
        .components()
        .all(|wanted| {
            rest.next()
                .is_some_and(|name| same_name(wanted.as_os_str(), name.as_os_str()))
        })
        .then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_known() {
        for (name, wanted, expected) in [
            ("GIT~1", ".git", true),
            ("git~2", ".git", true),
            ("GI7D29~1", ".git", true),
            ("MCP~1.JSO", ".mcp.json", true),
            ("VSCODE~1", ".vscode", true),
            ("DEVCON~1", ".devcontainer", true),
            ("DEVCO~12", ".devcontainer", true),
            ("CONFIG~1.WOR", "config.worktree", true),
            ("CONFIG~1.TOM", "config.toml", true),
            ("COMMON~1", "commondir", true),
            ("CONFIG~1", "config", false),
            ("GIT", ".git", false),
            ("GIT~", ".git", false),
            ("GIT~x", ".git", false),
            ("GIT~1.x", ".git", false),
            ("GITHUB~1", ".git", false),
            ("~1", ".git", false),
            ("\u{e9}\u{e9}\u{e9}~1", ".git", false),
            ("notes~1.txt", ".mcp.json", false),
        ] {
            assert_eq!(is_short_for(name, wanted), expected, "{name} for {wanted}");
        }
    }

    #[test]
    fn every_spelling_of_a_name_folds_to_it() {
        for (spelling, name) in [
            (".GIT", ".git"),
            (".g\u{200c}it", ".git"),
            (".git.", ".git"),
            (".git. .", ".git"),
            (".git::$INDEX_ALLOCATION", ".git"),
            ("hoo\u{212a}s", "hooks"),
            (".hu\u{17f}ky", ".husky"),
            (".\u{df}h", ".ssh"),
            ("con\u{fb01}g", "config"),
            ("\u{c5}DA", "\u{e5}da"),
        ] {
            assert!(same_name(spelling.as_ref(), name.as_ref()), "{spelling}");
            assert!(same_name(name.as_ref(), spelling.as_ref()), "{spelling}");
        }
        for (other, name) in [
            (".git2", ".git"),
            (".gi", ".git"),
            ("", ".git"),
            ("\u{e9}", "e"),
        ] {
            assert!(!same_name(other.as_ref(), name.as_ref()), "{other}");
        }
    }

    #[test]
    fn what_lies_below_is_found_by_whole_names() {
        let rest = |path, parent| {
            below(Path::new(path), Path::new(parent)).map(|r| r.as_path().to_owned())
        };
        assert_eq!(
            rest("/Home//ada/./.ssh/id/", "/home/ada"),
            Some(".ssh/id".into())
        );
        assert_eq!(rest("/home/ada", "/home/ada/"), Some("".into()));
        assert_eq!(rest("/home/adam", "/home/ada"), None);
        assert_eq!(rest("home/ada", "/home"), None);
    }

    #[test]
    fn stars_match_any_run() {
        for (pattern, name, expected) in [
            ("credentials*", "credentials", true),
            ("credentials*", "credentials.toml", true),
            ("credentials*", "credential", false),
            ("*_KEY", "OPENAI_API_KEY", true),
            ("*_KEY", "KEYS", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "xxaxxbxx", false),
            ("", "", true),
            ("", "x", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, name, false), expected, "{pattern} {name}");
        }
        assert!(matches("*token*", "GITHUB_TOKEN", true));
        assert!(!matches("*token*", "GITHUB_TOKEN", false));
    }
}
