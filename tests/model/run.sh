#!/bin/sh
# Checks the models with spin: each must hold, and must fail with each of its safeguards taken out. About a minute.
set -eu
models=$(cd "$(dirname "$0")" && pwd)
model=$models/wait_list.pml
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

# check EXPECTED OPTIONS...: runs the exhaustive search
check() {
  expected=$1
  shift
  spin "$@" -a "$model" > spin.log 2>&1 || { cat spin.log; exit 1; }
  cc -O1 -w -DSAFETY -DCOLLAPSE -DMEMLIM=4000 -o pan pan.c
  ./pan -n -m1000000 > pan.log 2>&1 || true
  if grep -q 'max search depth too small\|out of memory' pan.log; then cat pan.log; exit 1; fi
  if grep -q 'errors: 0' pan.log; then found=holds; else found=fails; fi
  states=$(sed -n 's/ *\([0-9.e+]*\) states, stored.*/\1/p' pan.log | head -n1)
  echo "$found: ${*:-all safeguards} ($states states)"
  if [ "$found" != "$expected" ]; then cat pan.log; exit 1; fi
}

check holds -DITEMS=2
check holds -DPRODUCERS=1 -DONE_EACH -DITEMS=2
check holds -DPRODUCERS=1 -DKILL -DITEMS=2
check fails -DNO_RECHECK_ITEM
check fails -DNO_RECHECK_WOKEN
check fails -DPRODUCERS=1 -DONE_EACH -DITEMS=2 -DNO_BATON
check fails -DKILL -DNO_REPAIR

model=$models/clean_up.pml
check holds
check fails -DNO_GENERATION
check fails -DNO_REVOKE
check fails -DNO_INHERIT

model=$models/sessions.pml
check holds
check holds -DNO_OWNER_CHECK
check fails -DNO_ALIVE_CHECK
check fails -DADOPT_FIRST
