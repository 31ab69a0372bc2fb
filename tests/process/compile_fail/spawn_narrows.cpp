// expect: a floating-point argument would lose its fraction
#include <brood/process/spawn.hpp>

int twice(int x) { return 2 * x; }

brood::task<> app() { co_await brood::spawn<twice>(2.7); }
