// expect: nothing
#include <brood/process/spawn.hpp>

double half(double x, long y, bool z, char c) { return x / 2 + static_cast<double>(y) + z + c; }

brood::task<> app() { co_await brood::spawn<half>(3, 4, true, 'c'); }
