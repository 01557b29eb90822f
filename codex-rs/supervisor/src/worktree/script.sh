# What codex does with git for a sub-agent that writes, run inside the sandbox under the rights of
# the agent's parent. Plumbing alone: no hook, no monitor, no editor, no signature. Paths come as
# arguments and never as code. The worktree's own `.git` file is not looked at, since the agent
# could have put another in its place.
set -eu
action=$1
store=$2
export GIT_TERMINAL_PROMPT=0 GIT_OPTIONAL_LOCKS=0 LC_ALL=C
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE

g() {
    git -c core.hooksPath=/dev/null -c core.fsmonitor=false -c commit.gpgSign=false -c gc.auto=0 \
        -c core.untrackedCache=false -c submodule.recurse=false -c diff.ignoreSubmodules=all \
        -c advice.addEmbeddedRepo=false -c core.safecrlf=false \
        -c user.name=codex -c user.email=codex@localhost "$@"
}

# snapshot GIT_DIR TREE INDEX PARENT: a commit of everything in TREE that is not ignored.
snapshot() {
    if [ -f "$1/index" ]; then cp -- "$1/index" "$3"; else rm -f -- "$3"; fi
    # What cannot be read, a secret say, stays out of it and is left alone: git ends with 1 then. With
    # anything else the tree is not what is there, and passing it on would lose the rest.
    errors=${3%/*}/errors
    code=0
    (cd -- "$2" && GIT_DIR=$1 GIT_WORK_TREE=$2 GIT_INDEX_FILE=$3 g add -A --ignore-errors -- . >/dev/null 2>"$errors") || code=$?
    if [ "$code" -gt 1 ]; then
        sed -e 20q "$errors" >&2
        return "$code"
    fi
    tree=$(GIT_DIR=$1 GIT_WORK_TREE=$2 GIT_INDEX_FILE=$3 g write-tree)
    if [ -n "$4" ]; then
        GIT_DIR=$store g commit-tree "$tree" -p "$4" -m 'codex: work of an agent' </dev/null
    else
        GIT_DIR=$store g commit-tree "$tree" -m 'codex: work of an agent' </dev/null
    fi
}

case $action in
    # add STORE WORKSPACE PLACE SCRATCH: a worktree at PLACE of what WORKSPACE holds now.
    add)
        workspace=$3 place=$4 scratch=$5
        if [ ! -e "$store" ]; then g init -q --bare "$store"; fi
        head=$(GIT_DIR=$store g rev-parse -q --verify 'HEAD^{commit}' 2>/dev/null || true)
        base=$(snapshot "$store" "$workspace" "$scratch/index" "$head")
        GIT_DIR=$store g worktree add -q --detach "$place" "$base" >/dev/null
        printf 'base %s\n' "$base"
        printf 'admin %s\n' "$(git -C "$place" rev-parse --absolute-git-dir)"
        ;;
    # collect STORE PLACE SCRATCH ADMIN BASE: a commit of what PLACE has over BASE.
    collect)
        place=$3 scratch=$4 admin=$5 base=$6
        theirs=$(snapshot "$admin" "$place" "$scratch/index" "$base")
        if GIT_DIR=$store g diff-tree --quiet "$base" "$theirs"; then
            printf 'unchanged\n'
        else
            printf 'theirs %s\n' "$theirs"
        fi
        ;;
    # merge STORE WORKSPACE SCRATCH BASE THEIRS REF HOW: takes what THEIRS has over BASE into
    # WORKSPACE, whole or not at all; what is not taken over is kept under REF. HOW is `take`, or
    # `keep` to keep it only.
    merge)
        workspace=$3 scratch=$4 base=$5 theirs=$6 ref=$7 how=$8
        export GIT_DIR=$store
        if [ "$how" = take ]; then
            head=$(g rev-parse -q --verify 'HEAD^{commit}' 2>/dev/null || true)
            ours=$(snapshot "$store" "$workspace" "$scratch/index" "$head")
            if g merge-tree --write-tree --name-only --no-messages --merge-base="$base" "$ours" "$theirs" >"$scratch/merged"; then
                merged=$(sed 1q "$scratch/merged")
                g diff-tree -p --binary --full-index --no-renames "$ours" "$merged" >"$scratch/patch"
                g diff-tree -r --name-only --no-renames "$ours" "$merged" >"$scratch/files"
                if [ ! -s "$scratch/patch" ] || (cd -- "$workspace" && GIT_WORK_TREE=$workspace g apply --whitespace=nowarn "$scratch/patch" >/dev/null 2>&1); then
                    printf 'merged\n'
                    sed -e 's/^/file /' -e 200q "$scratch/files"
                    exit 0
                fi
                sed -e 's/^/conflict /' -e 200q "$scratch/files"
            else
                sed -e 1d -e '/^$/d' -e 's/^/conflict /' -e 200q "$scratch/merged"
            fi
        else
            g diff-tree -r --name-only --no-renames "$base" "$theirs" >"$scratch/files"
            sed -e 's/^/conflict /' -e 200q "$scratch/files"
        fi
        g update-ref "$ref" "$theirs"
        printf 'kept %s\n' "$ref"
        ;;
    # remove STORE PLACE ADMIN
    remove)
        place=$3 admin=$4
        rm -rf -- "$place"
        case $admin in "$store"/worktrees/?*) rm -rf -- "$admin" ;; esac
        ;;
esac
