// expect: a pool's workers end with their pool
#include <brood/pool/pool.hpp>

brood::task<> app() { co_await brood::pool::open(2).detached(); }
