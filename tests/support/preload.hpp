// What the fork server of every test program loads before its first child.
#pragma once

inline int preloaded_value = 0;

inline void test_preload() { preloaded_value = 42; }
