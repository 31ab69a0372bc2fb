// expect: brood::shared_fd
#include <brood/process/spawn.hpp>

int f();

brood::task<> app() { co_await brood::spawn<f>().fd(3, 0); }
