#!/usr/bin/env bash
# Help of scripts that do more than hand their words to one program; sourced by them.

# help_where_asked SCRIPT WORDS...: prints the comment at the head of the script and ends, if a word asks for it.
help_where_asked() {
  local script=$1 word
  shift
  for word in "$@"; do
    case $word in -h|--help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$script"; exit 0 ;; esac
  done
}
