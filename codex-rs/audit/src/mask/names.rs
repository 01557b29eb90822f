//! Which names announce a secret.

/// Parts of a name that make it a secret's: the part is, or ends with, one of these.
const SECRETS: &[&str] = &[
    "token",
    "secret",
    "secrets",
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "apikey",
    "accesskey",
    "privatekey",
    "secretkey",
    "credential",
    "credentials",
    "authorization",
];
/// Parts that do so only as a whole.
const SECRETS_WHOLE: &[&str] = &["pass", "pat", "auth", "cookie", "creds", "jwt", "psk"];
/// Parts that do so with another part before them: alone, they are something else.
const SECRETS_AFTER: &[&str] = &["pwd"];
/// Parts that do so before `key`.
const KEYS: &[&str] = &[
    "access",
    "account",
    "admin",
    "api",
    "app",
    "auth",
    "deploy",
    "encryption",
    "license",
    "master",
    "private",
    "secret",
    "service",
    "shared",
    "signing",
    "storage",
    "subscription",
];
/// Last parts that say something of a secret and are not it: `--password-stdin`, `token_type`.
const ABOUT: &[&str] = &[
    "budget", "cmd", "command", "count", "dir", "enabled", "endpoint", "expires", "expiry", "file",
    "helper", "id", "in", "index", "length", "limit", "method", "mode", "name", "path", "policy",
    "prompt", "provider", "required", "size", "sock", "stdin", "store", "ttl", "type", "uri",
    "url", "usage",
];
/// Names of secrets in the query of a URL, beside the above.
const IN_QUERY: &[&str] = &["key", "sig", "signature", "code", "sid", "x-amz-signature"];
/// Flags whose value is `user:password`.
const USER_FLAGS: &[&str] = &["-u", "--user", "--proxy-user"];
/// Longest name that is looked at: no flag or variable is longer.
pub(super) const MAX_NAME: usize = 128;

/// Whether `name`, of a flag, variable, header, parameter or key, is that of a secret.
pub(super) fn is_secret(name: &str) -> bool {
    let mut secret = false;
    let mut before = "";
    for part in parts(name) {
        secret |= SECRETS.iter().any(|s| ends_with(part, s))
            || is_one_of(part, SECRETS_WHOLE)
            || (!before.is_empty() && is_one_of(part, SECRETS_AFTER))
            || (part.eq_ignore_ascii_case("key") && is_one_of(before, KEYS));
        before = part;
    }
    secret && !is_one_of(before, ABOUT)
}

/// Whether `name` is that of a secret in the query of a URL.
pub(super) fn is_secret_in_query(name: &str) -> bool {
    is_secret(name) || is_one_of(name, IN_QUERY)
}

fn is_one_of(part: &str, words: &[&str]) -> bool {
    words.iter().any(|w| part.eq_ignore_ascii_case(w))
}

fn ends_with(part: &str, word: &str) -> bool {
    part.len()
        .checked_sub(word.len())
        .and_then(|at| part.get(at..))
        .is_some_and(|end| end.eq_ignore_ascii_case(word))
}

/// `GITHUB_TOKEN`, `github-token` and `githubToken` have the same two parts; `APIKey` has two.
fn parts(name: &str) -> impl Iterator<Item = &str> {
    name.split(['_', '-', '.', ' ', '/']).flat_map(|word| {
        let bytes = word.as_bytes();
        let mut start = 0;
        let ends = (1..=bytes.len()).filter(move |&at| {
            let upper = |i: usize| bytes.get(i).is_some_and(u8::is_ascii_uppercase);
            let lower = |i: usize| bytes.get(i).is_some_and(u8::is_ascii_lowercase);
            at == bytes.len()
                || (lower(at - 1) && upper(at))
                || (upper(at - 1) && upper(at) && lower(at + 1))
        });
        ends.filter_map(move |end| word.get(std::mem::replace(&mut start, end)..end))
    })
}

/// What follows a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// A secret.
    Secret,
    /// `user:password`.
    UserAndPassword,
}

/// What follows `flag`, if it is a flag that has its value in the next argument and the value is
/// a secret.
pub(super) fn value_of_flag(flag: &str) -> Option<Value> {
    if USER_FLAGS.contains(&flag) {
        return Some(Value::UserAndPassword);
    }
    let name = flag.trim_start_matches('-');
    let is_flag = name.len() < flag.len() && name.len() <= MAX_NAME && !name.contains(['=', ' ']);
    (is_flag && is_secret(name)).then_some(Value::Secret)
}

/// The user in `user:password`. `None` where there is no password: the numbers of `uid:gid` and
/// the path of `host:/path` are none.
pub(super) fn user_of(value: &str) -> Option<&str> {
    let (user, password) = value.split_once(':')?;
    let is_password = !password.bytes().all(|b| b.is_ascii_digit()) && !password.starts_with('/');
    is_password.then_some(user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_told_from_names_about_them() {
        for name in [
            "token",
            "TOKEN",
            "GITHUB_TOKEN",
            "github-token",
            "githubToken",
            "accesstoken",
            "OPENAI_API_KEY",
            "X-Api-Key",
            "apiKey",
            "APIKey",
            "apikey",
            "AWS_SECRET_ACCESS_KEY",
            "SECRET_KEY_BASE",
            "client_secret",
            "PASSWORD",
            "PGPASSWORD",
            "db.password",
            "DB_PWD",
            "passwd",
            "passphrase",
            "Authorization",
            "Proxy-Authorization",
            "Set-Cookie",
            "auth",
            "--auth-token",
            "GITHUB_PAT",
            "AZURE_STORAGE_KEY",
            "API_KEY_2",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in [
            "",
            "PATH",
            "PWD",
            "key",
            "max_tokens",
            "tokenizer",
            "author",
            "GIT_AUTHOR_NAME",
            "--password-stdin",
            "token_type",
            "TOKEN_URL",
            "SSH_AUTH_SOCK",
            "AWS_ACCESS_KEY_ID",
            "secretary",
            "compass",
            "monkey",
            "keyboard",
            "credential.helper",
            "input_tokens",
        ] {
            assert!(!is_secret(name), "{name}");
        }
        assert!(is_secret_in_query("sig") && is_secret_in_query("access_token"));
        assert!(!is_secret_in_query("page"));
    }
}
