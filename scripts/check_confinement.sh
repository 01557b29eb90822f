#!/usr/bin/env bash
# Tries a few escapes on any system that codex runs on: each has to succeed bare, and to have no
# effect under codex. Then checks the audit log: that it is whole, and that denials are in it.
#
#   scripts/check_confinement.sh CODEX LOG [LEVEL]
#
# CODEX is the binary, LOG where the audit log is to be, LEVEL a level to accept. Needs bash and the
# usual shell tools; on Windows those of Git. Where codex refuses to start a command, that is told
# and counts as held: nothing was started.
set -euo pipefail

if (($# < 2 || $# > 3)); then
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
codex=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
log=$2
accept=()
if [[ ${3:-} ]]; then
    accept=(--accept-level "$3")
fi

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
export HOME=$place/home USERPROFILE=$place/home CODEX_HOME=$place/home/.codex
mkdir -p "$place/home/.ssh" "$place/outside" "$place/workspace"
echo "the text of a secret" >"$place/home/.ssh/id_test"
cd "$place/workspace"
echo "the project" >notes.txt
export SERVICE_API_KEY=the-text-of-a-key

failures=0
held=0
refused=0

fail() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}

# attempt NAME PROFILE EFFECT SCRIPT: bash runs SCRIPT; afterwards EFFECT tells whether it got
# through, with what it printed in $place/output.
attempt() {
    local name=$1 profile=$2 effect=$3 script=$4 code=0
    bash -c "$script" >"$place/output" 2>&1 || true
    if ! eval "$effect"; then
        fail "$name does nothing on the bare machine, so it proves nothing: $(head -c 300 "$place/output")"
        return
    fi
    clean_up
    "$codex" sandbox --audit-log "$log" ${accept[@]+"${accept[@]}"} --profile "$profile" \
        --report none -- bash -c "$script" >"$place/output" 2>"$place/errors" || code=$?
    if eval "$effect"; then
        fail "$name got through under $profile: $(head -c 300 "$place/output")"
    elif ((code == 125 || code == 126 || code == 127)); then
        echo "refused: $name under $profile (exit $code): $(head -c 200 "$place/errors")"
        refused=$((refused + 1))
    else
        echo "held:    $name under $profile (exit $code)"
        held=$((held + 1))
    fi
    clean_up
}

clean_up() {
    rm -f "$place/outside/made" "$place/workspace/made" "$place/home/made" "$place/workspace/emptied"
    echo "the project" >"$place/workspace/notes.txt"
}

made_outside='[[ -e $place/outside/made ]]'
made_inside='[[ -e $place/workspace/made ]]'
secret_read='grep -q "the text of a secret" "$place/output"'
key_read='grep -q "the-text-of-a-key" "$place/output"'

for profile in offline workspace-write; do
    attempt "write outside" "$profile" "$made_outside" "echo x >'$place/outside/made'"
    attempt "read a secret" "$profile" "$secret_read" "cat '$place/home/.ssh/id_test'"
    if [[ -e $place/home/.SSH/ID_TEST ]]; then
        # Only on file systems that fold case.
        attempt "read a secret in another case" "$profile" "$secret_read" \
            "cat '$place/home/.SSH/ID_TEST'"
    fi
    attempt "read a key from the environment" "$profile" "$key_read" 'echo "$SERVICE_API_KEY"'
    attempt "move the workspace's file out" "$profile" "$made_outside" \
        "mv notes.txt '$place/outside/made'"
done
attempt "write in the workspace" offline "$made_inside" "echo x >made"
attempt "empty a file of the workspace" offline '[[ ! -s $place/workspace/notes.txt ]]' ": >notes.txt"

# What has to work still does, where commands start at all.
if ((held > 0)); then
    "$codex" sandbox --audit-log "$log" ${accept[@]+"${accept[@]}"} --profile workspace-write \
        --report none -- bash -c 'echo x >made && cat notes.txt' >"$place/output" 2>&1 || true
    if [[ ! -e made ]] || ! grep -q "the project" "$place/output"; then
        fail "writing in the workspace under workspace-write: $(head -c 300 "$place/output")"
    fi
fi

# A denial that codex itself decides, on every system.
"$codex" sandbox --audit-log "$log" ${accept[@]+"${accept[@]}"} --report none -- "$codex" --version \
    >/dev/null 2>&1 || true
"$codex" audit verify --audit-log "$log"
denied=$("$codex" audit show --denied --json --audit-log "$log" | wc -l | tr -d ' ')
echo "$held held, $refused refused, $failures failed; $denied denials in $log"
if ((held > 0 && denied == 0)); then
    fail "no denial was recorded"
fi
((failures == 0))
