// expect: a function of this program has no argument vector
#include <brood/process/spawn.hpp>

int f();

brood::task<> app() { co_await brood::spawn<f>().arg0("x"); }
