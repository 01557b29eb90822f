//! Which variables a command gets. Data, printed by `codex policy show`.

use crate::glob;

/// Names and patterns that pass into a command's environment by default.
pub const PASSED: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TERM",
    "COLORTERM",
    "NO_COLOR",
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "TZ",
    "COLUMNS",
    "LINES",
    "CI",
    "EDITOR",
    "VISUAL",
    "HOSTNAME",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    "CARGO_HOME",
    "CARGO_TARGET_DIR",
    "CARGO_TERM_COLOR",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "RUST_BACKTRACE",
    "RUST_LOG",
    "GOPATH",
    "GOROOT",
    "GOCACHE",
    "GOMODCACHE",
    "JAVA_HOME",
    "MAVEN_HOME",
    "GRADLE_USER_HOME",
    "NVM_DIR",
    "VOLTA_HOME",
    "PNPM_HOME",
    "PYENV_ROOT",
    "PYENV_VERSION",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "RBENV_ROOT",
    "GEM_HOME",
    "GEM_PATH",
    "DENO_DIR",
    "CC",
    "CXX",
    "CFLAGS",
    "CXXFLAGS",
    "LDFLAGS",
    "PKG_CONFIG_PATH",
    "MAKEFLAGS",
    "SystemRoot",
    "ComSpec",
    "PATHEXT",
    "WINDIR",
    "USERPROFILE",
];

/// Names and patterns that never pass on their own, whatever else allows them: they look like
/// secrets, or they make programs load or run code.
pub const NEVER: &[&str] = &[
    "*TOKEN*",
    "*SECRET*",
    "*PASSWORD*",
    "*PASSWD*",
    "*PASSPHRASE*",
    "*_PWD",
    "*_DSN",
    "*DATABASE_URL*",
    "*CREDENTIAL*",
    "*API_KEY*",
    "*APIKEY*",
    "*ACCESS_KEY*",
    "*PRIVATE_KEY*",
    "*_KEY",
    "*_AUTH",
    "*COOKIE*",
    "*SESSION*",
    "AWS_*",
    "AZURE_*",
    "GOOGLE_*",
    "LD_*",
    "DYLD_*",
    "BASH_ENV",
    "ENV",
    "BASH_FUNC_*",
    "PROMPT_COMMAND",
    "PS4",
    "SHELLOPTS",
    "BASHOPTS",
    "IFS",
    "NODE_OPTIONS",
    "NODE_PATH",
    "PYTHONSTARTUP",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONBREAKPOINT",
    "PERL5LIB",
    "PERL5OPT",
    "PERL5DB",
    "RUBYOPT",
    "RUBYLIB",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "_JAVA_OPTIONS",
    "ZDOTDIR",
    "GIT_SSH*",
    "GIT_EXTERNAL_DIFF",
    "GIT_ASKPASS",
    "GIT_PAGER",
    "GIT_EDITOR",
    "GIT_SEQUENCE_EDITOR",
    "GIT_CONFIG*",
    "GIT_EXEC_PATH",
    "GIT_PROXY_COMMAND",
    "GIT_TEMPLATE_DIR",
    "SSH_*",
    "SUDO_*",
    "PAGER",
    "LESSOPEN",
    "LESSCLOSE",
    "MANPAGER",
    "BROWSER",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "CARGO_BUILD_RUSTC_WRAPPER",
    "GCONV_PATH",
    "DBUS_SESSION_BUS_ADDRESS",
    "XAUTHORITY",
    "DISPLAY",
    "WAYLAND_DISPLAY",
];

/// Whether a variable of this name reaches a command, given the patterns that the person added
/// with `--pass-env`. A pattern of the person's that names the variable exactly passes even what
/// [`NEVER`] holds back; one with a `*` does not.
#[must_use]
pub fn passes(name: &str, added: &[String]) -> bool {
    if added.iter().any(|a| a == name) {
        return true;
    }
    let wanted = PASSED.iter().any(|p| glob::matches(p, name, false))
        || added.iter().any(|a| glob::matches(a, name, false));
    wanted && !NEVER.iter().any(|n| glob::matches(n, name, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_loaders_stay_behind() {
        let none: &[String] = &[];
        for name in ["PATH", "HOME", "LC_ALL", "CARGO_HOME"] {
            assert!(passes(name, none), "{name}");
        }
        for name in [
            "OPENAI_API_KEY",
            "CODEX_API_KEY",
            "GITHUB_TOKEN",
            "AWS_PROFILE",
            "LD_PRELOAD",
            "BASH_ENV",
            "NODE_OPTIONS",
            "GIT_SSH_COMMAND",
            "PAGER",
            "MY_OWN",
            "SSH_AUTH_SOCK",
        ] {
            assert!(!passes(name, none), "{name}");
        }
    }

    #[test]
    fn a_star_adds_only_what_is_harmless_and_a_full_name_adds_anything() {
        let all = ["*".to_owned()];
        assert!(passes("MY_OWN", &all));
        assert!(!passes("GITHUB_TOKEN", &all));
        assert!(passes("GITHUB_TOKEN", &["GITHUB_TOKEN".to_owned()]));
    }
}
