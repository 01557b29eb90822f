//! The types that come with codex.

/// Each type's name and its file, in the order of the documentation.
pub(super) const FILES: &[(&str, &str)] = &[
    ("code", include_str!("built-in/code.toml")),
    ("test", include_str!("built-in/test.toml")),
    ("review", include_str!("built-in/review.toml")),
    ("security", include_str!("built-in/security.toml")),
    ("docs", include_str!("built-in/docs.toml")),
    ("debug", include_str!("built-in/debug.toml")),
    ("performance", include_str!("built-in/performance.toml")),
    ("research", include_str!("built-in/research.toml")),
    ("general", include_str!("built-in/general.toml")),
];

/// The type that every new type of a project narrows.
pub const GENERAL: &str = "general";
