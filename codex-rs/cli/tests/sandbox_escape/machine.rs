//! What depends on the machine and on this version, declared: a difference fails, nothing skips.

/// The level that runs are enforced at. At `full`, the record of every denial is asserted.
pub(super) const LEVEL: &str = "partial";

/// What the bare machine refuses root, and how.
pub(super) const REFUSED_ROOT: &[(&str, &str)] = &[];

/// What the bare machine refuses an ordinary user, and how.
pub(super) const REFUSED_USER: &[(&str, &str)] = &[];

/// What still gets through. An entry that is held has to be taken off.
pub(super) const OPEN: &[&str] = &[];

/// What still gets through now and then: races are not lost every time.
pub(super) const OPEN_RACES: &[&str] = &[];
