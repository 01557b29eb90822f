//! Paths of the workspace that would run code later.

use super::attempt::{Attempt, Effect, workspace};

pub(super) const TABLE: &[Attempt] = &[
    workspace(
        "a git hook",
        "echo x > {ws}/.git/hooks/pre-commit",
        Effect::Files,
        ("file_write", "{ws}/.git/hooks/pre-commit", "fs.protected"),
    ),
    workspace(
        "a git hook by rename",
        "echo x > {ws}/sub/n && mv {ws}/sub/n {ws}/.git/hooks/post-commit",
        Effect::Files,
        ("file_write", "{ws}/.git/hooks/post-commit", "fs.protected"),
    ),
    workspace(
        "a git hook by link",
        "ln {ws}/f {ws}/.git/hooks/pre-push",
        Effect::Files,
        ("file_write", "{ws}/.git/hooks/pre-push", "fs.protected"),
    ),
    workspace(
        "a git hook by symbolic link",
        "ln -s {ws}/f {ws}/.git/hooks/pre-rebase",
        Effect::Files,
        ("file_write", "{ws}/.git/hooks/pre-rebase", "fs.protected"),
    ),
    workspace(
        "the hook directory replaced",
        "rm -rf {ws}/.git/hooks; mkdir {ws}/.git/hooks; echo x > {ws}/.git/hooks/update",
        Effect::Files,
        ("file_write", "{ws}/.git/hooks", "fs.protected"),
    ),
    workspace(
        "a hook made executable",
        "chmod +x {ws}/.git/hooks/pre-commit.sample",
        Effect::Files,
        (
            "file_write",
            "{ws}/.git/hooks/pre-commit.sample",
            "fs.protected",
        ),
    ),
    workspace(
        "git config written",
        "printf \"[core]\\n\\tfsmonitor = x\\n\" >> {ws}/.git/config",
        Effect::Files,
        ("file_write", "{ws}/.git/config", "fs.protected"),
    ),
    workspace(
        "git config by its lock",
        "cd {ws}; git config core.hooksPath /tmp",
        Effect::Files,
        ("file_write", "{ws}/.git/config", "fs.protected"),
    ),
    workspace(
        "git config by an alias that runs",
        "cd {ws}; git config alias.x \"!id\"",
        Effect::Files,
        ("file_write", "{ws}/.git/config", "fs.protected"),
    ),
    workspace(
        "git config of a worktree",
        "echo x > {ws}/.git/config.worktree",
        Effect::Files,
        ("file_write", "{ws}/.git/config.worktree", "fs.protected"),
    ),
    workspace(
        "git attributes",
        "echo x > {ws}/.git/info/attributes",
        Effect::Files,
        ("file_write", "{ws}/.git/info/attributes", "fs.protected"),
    ),
    workspace(
        ".git moved away",
        "mv {ws}/.git {ws}/away",
        Effect::Files,
        ("file_write", "{ws}/.git", "fs.protected"),
    ),
    workspace(
        ".git exchanged",
        "mkdir {ws}/mine; {a} exchange {ws}/.git {ws}/mine",
        Effect::Files,
        ("file_write", "{ws}/.git", "fs.protected"),
    ),
    workspace(
        "the hook of a nested repository",
        "echo x > {ws}/nested/.git/hooks/pre-commit",
        Effect::Files,
        (
            "file_write",
            "{ws}/nested/.git/hooks/pre-commit",
            "fs.protected",
        ),
    ),
    workspace(
        "the config of a nested repository",
        "cd {ws}/nested; git config core.pager x",
        Effect::Files,
        ("file_write", "{ws}/nested/.git/config", "fs.protected"),
    ),
    workspace(
        "a hook through a renamed parent",
        "cd {ws}; mv nested moved; echo x > moved/.git/hooks/pre-commit; mv moved nested",
        Effect::Files,
        ("file_write", ".git/hooks/pre-commit", "fs.protected"),
    ),
    workspace(
        "protected: .vscode/tasks.json",
        "mkdir -p $(dirname {ws}/.vscode/tasks.json) && echo x > {ws}/.vscode/tasks.json",
        Effect::Files,
        ("file_write", "{ws}/.vscode", "fs.protected"),
    ),
    workspace(
        "protected: .envrc",
        "mkdir -p $(dirname {ws}/.envrc) && echo x > {ws}/.envrc",
        Effect::Files,
        ("file_write", "{ws}/.envrc", "fs.protected"),
    ),
    workspace(
        "protected: .mcp.json",
        "mkdir -p $(dirname {ws}/.mcp.json) && echo x > {ws}/.mcp.json",
        Effect::Files,
        ("file_write", "{ws}/.mcp.json", "fs.protected"),
    ),
    workspace(
        "protected: .codex/config.toml",
        "mkdir -p $(dirname {ws}/.codex/config.toml) && echo x > {ws}/.codex/config.toml",
        Effect::Files,
        ("file_write", "{ws}/.codex", "fs.protected"),
    ),
    workspace(
        "protected: .claude/settings.json",
        "mkdir -p $(dirname {ws}/.claude/settings.json) && echo x > {ws}/.claude/settings.json",
        Effect::Files,
        ("file_write", "{ws}/.claude", "fs.protected"),
    ),
    workspace(
        "protected: .cursor/mcp.json",
        "mkdir -p $(dirname {ws}/.cursor/mcp.json) && echo x > {ws}/.cursor/mcp.json",
        Effect::Files,
        ("file_write", "{ws}/.cursor", "fs.protected"),
    ),
    workspace(
        "protected: .idea/workspace.xml",
        "mkdir -p $(dirname {ws}/.idea/workspace.xml) && echo x > {ws}/.idea/workspace.xml",
        Effect::Files,
        ("file_write", "{ws}/.idea", "fs.protected"),
    ),
    workspace(
        "protected: .devcontainer/devcontainer.json",
        "mkdir -p $(dirname {ws}/.devcontainer/devcontainer.json) && echo x > {ws}/.devcontainer/devcontainer.json",
        Effect::Files,
        ("file_write", "{ws}/.devcontainer", "fs.protected"),
    ),
    workspace(
        "protected: .husky/pre-commit",
        "mkdir -p $(dirname {ws}/.husky/pre-commit) && echo x > {ws}/.husky/pre-commit",
        Effect::Files,
        ("file_write", "{ws}/.husky", "fs.protected"),
    ),
    workspace(
        "protected: .cargo/config.toml",
        "mkdir -p $(dirname {ws}/.cargo/config.toml) && echo x > {ws}/.cargo/config.toml",
        Effect::Files,
        ("file_write", "{ws}/.cargo/config.toml", "fs.protected"),
    ),
    workspace(
        "a protected directory by rename",
        "mkdir {ws}/n; echo x > {ws}/n/tasks.json; mv {ws}/n {ws}/.vscode",
        Effect::Files,
        ("file_write", "{ws}/.vscode", "fs.protected"),
    ),
    workspace(
        "a protected directory by symbolic link",
        "mkdir {ws}/n; ln -s n {ws}/.vscode",
        Effect::Files,
        ("file_write", "{ws}/.vscode", "fs.protected"),
    ),
];
