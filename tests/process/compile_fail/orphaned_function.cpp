// expect: it dies with it, or is `.detached()`
#include <brood/process/spawn.hpp>

int f();

brood::task<> app() { co_await brood::spawn<f>().parent_death_signal(0); }
