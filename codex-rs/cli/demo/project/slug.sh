#!/bin/sh
# Turns a title into a slug: lower case, words joined by single hyphens.
printf '%s\n' "$1" | tr 'A-Z' 'a-z' | sed 's/[^a-z0-9]/-/g'
