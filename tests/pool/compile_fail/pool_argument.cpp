// expect: a pointer cannot travel to another process
#include <brood/pool/pool.hpp>

int length(const char* text) { return text[0]; }

brood::task<int> app(brood::pool pool) { co_return co_await pool.apply<length>("text"); }
