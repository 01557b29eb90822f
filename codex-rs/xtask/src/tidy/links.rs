//! Relative links in the documentation lead somewhere.

use std::collections::HashMap;

use super::Violation;
use super::tree::Tree;

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (page, text) in tree.texts.iter().filter(|(path, _)| is_page(path)) {
        for (line, target) in targets(text) {
            if let Some(what) = fault(tree, page, &target) {
                let remedy = "correct the link, or add what it leads to";
                found.push(Violation::new(page, line, what, remedy));
            }
        }
    }
    found
}

fn is_page(path: &str) -> bool {
    let in_docs = path
        .strip_prefix("docs/")
        .is_some_and(|name| name.ends_with(".md"));
    in_docs || matches!(path, "README.md" | "CHANGELOG.md")
}

fn fault(tree: &Tree, page: &str, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = match target.split_once('#') {
        Some((file, anchor)) => (file, Some(anchor)),
        None => (target, None),
    };
    let Some(path) = resolve(page, file) else {
        return Some(format!("the link `{target}` leaves the repository"));
    };
    // A link to the root's own folder is a link to nothing that can be missing.
    if !path.is_empty() && !tree.paths.contains(&path) {
        return Some(format!("the link `{target}` leads to no file"));
    }
    let text = tree.texts.get(&path).filter(|_| path.ends_with(".md"))?;
    let anchor = anchor.filter(|anchor| !anchor.is_empty())?;
    let known = anchors(text).iter().any(|known| known == anchor);
    (!known).then(|| format!("the link `{target}` leads to no heading"))
}

/// `target` as seen from `page`, from the root; `None` outside the repository.
fn resolve(page: &str, target: &str) -> Option<String> {
    if target.is_empty() {
        return Some(page.to_owned());
    }
    let target = target.replace("%20", " ");
    let mut parts: Vec<&str> = match target.starts_with('/') {
        true => Vec::new(),
        false => page
            .rsplit_once('/')
            .map_or(Vec::new(), |(folder, _)| folder.split('/').collect()),
    };
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The lines of `text` outside fenced code, with inline code blanked, and their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut fence: Option<&str> = None;
    text.lines().enumerate().filter_map(move |(at, line)| {
        let start = line.trim_start();
        let mark = ["```", "~~~"]
            .into_iter()
            .find(|mark| start.starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            (None, None) => return Some((at + 1, without_code(line))),
            _ => {}
        }
        None
    })
}

fn without_code(line: &str) -> String {
    let pieces = line.split('`').enumerate();
    pieces
        .map(|(at, piece)| if at % 2 == 0 { piece } else { "" })
        .collect()
}

/// Link targets and their lines: inline links and images, and reference definitions.
fn targets(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (line, prose) in prose(text) {
        let definition = prose
            .trim_start()
            .strip_prefix('[')
            .and_then(|rest| rest.split_once("]:"))
            .map(|(_, target)| target);
        let inline = prose
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        for target in definition.into_iter().chain(inline) {
            // A title may follow the target.
            let target = target.split_whitespace().next().unwrap_or_default();
            found.push((line, target.trim_matches(['<', '>']).to_owned()));
        }
    }
    found
}

/// The anchors that GitHub gives to the headings of a page.
fn anchors(text: &str) -> Vec<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut fenced = false;
    let mut found = Vec::new();
    for line in text.lines() {
        fenced ^= line.trim_start().starts_with("```");
        let Some(title) = line.strip_prefix('#').filter(|_| !fenced) else {
            continue;
        };
        let title = title.trim_start_matches('#').trim();
        let slug: String = title
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect();
        let earlier = seen.entry(slug.clone()).or_default();
        found.push(if *earlier == 0 {
            slug
        } else {
            format!("{slug}-{earlier}")
        });
        *earlier += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::tree::fixture::found;
    use super::*;

    #[test]
    fn dead_links_are_found() {
        let page = "[a](gone.md)\n![b](../gone.png \"title\")\n[c](../../out.md)\n\
                    [d]: gone.md\n[e](#nowhere)\n[f](b.md#nowhere)";
        let places = found(check, &[("docs/a.md", page), ("docs/b.md", "# Some")]);
        assert_eq!(
            places,
            (1..=6)
                .map(|n| format!("docs/a.md:{n}"))
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn live_links_pass() {
        let readme = "# What it is, briefly\n# Two\n# Two\n[a](docs/a.md#the-part), [b](docs/), \
                      [c](https://example.org/x.md) [d](#what-it-is-briefly) [e](#two-1) [f](/LICENSE)\n\
                      `[g](gone.md)`\n```\n[h](gone.md)\n```\n[i](<docs/a.md>)";
        let files = [
            ("README.md", readme),
            ("docs/a.md", "## The `part`\n[up](../README.md)"),
            ("LICENSE", ""),
            ("other/page.md", "[x](gone.md)"),
        ];
        assert_eq!(found(check, &files), [""; 0]);
    }
}
