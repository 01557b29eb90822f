#!/bin/sh
# Runs slug.sh on a few titles. Exit status 1 if one comes out wrong.
failed=0
check() {
    got=$(sh slug.sh "$1")
    if [ "$got" = "$2" ]; then
        echo "ok      $1"
    else
        echo "FAILED  $1: expected '$2', got '$got'"
        failed=1
    fi
}
check 'Hello World' 'hello-world'
check 'Release 2.0' 'release-2-0'
check 'Hello,  World!' 'hello-world'
check '  padded  ' 'padded'
exit $failed
