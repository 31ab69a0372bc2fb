#!/bin/sh
# A file as a literal of C++.
printf 'R"lua(' && cat "$1" && printf ')lua"'
