//! What keeps a model from being set up.

use codex_http::HttpError;

/// A provider or a recording that cannot be used at all. Failures of a request are
/// [`ModelError`](codex_protocol::model::ModelError)s instead.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The base URL cannot be used. Never quotes the URL, which could hold a password.
    #[error("the base_url of provider `{provider}` can't be used: {reason}")]
    BaseUrl {
        /// The provider's name.
        provider: String,
        /// What is wrong, and what to write instead.
        reason: String,
    },
    /// A header cannot be sent.
    #[error("a header or the key of provider `{provider}` can't be used: {source}")]
    Header {
        /// The provider's name.
        provider: String,
        /// Which header, and why; never its value.
        source: HttpError,
    },
    /// The provider's wire is not built in.
    #[error(
        "provider `{provider}` speaks `{wire}`, which this version of codex does not: set its \
         wire_api to one of: {known}"
    )]
    Wire {
        /// The provider's name.
        provider: String,
        /// The wire's name.
        wire: &'static str,
        /// The names of the wires that are built in.
        known: String,
    },
    /// A recording cannot be read.
    #[error("the recording {name} can't be read: {source}; check the path given to --replay")]
    Unreadable {
        /// The file.
        name: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A recording can be read but not played.
    #[error("the recording {name} can't be played: {reason}")]
    Recording {
        /// The file.
        name: String,
        /// Which line, what is wrong with it, and what to do.
        reason: String,
    },
}
